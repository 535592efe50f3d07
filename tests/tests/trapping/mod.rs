//! Copies of a WebAssembly module that differ in one thing: they trap at every so-manieth call of one
//! of its functions, one that its host calls, or one of the host that it calls; they leak; they may
//! have little memory.

use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, Instruction, MemoryType, Module, ValType,
};
use wasmparser::{Export, ExternalKind, Parser, Payload, TypeRef};

/// Where the copy traps.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// The name under which the function is exported or imported.
    pub function: &'static str,
    pub moment: Moment,
    /// At every call whose number is a multiple of this.
    pub nth: i32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// Nothing of the call has happened.
    Before,
    /// All of it has happened, but for its return.
    After,
}

/// The copy. All that refers to the function refers to a wrapper of it, which is added at the
/// end, so that no number of anything else changes.
pub fn trapping(wasm: &[u8], trap: Trap) -> Vec<u8> {
    Wrapping::of(wasm, trap).written(wasm)
}

/// A copy that allocates so many bytes at each call of one of its exported functions, and forgets them.
pub fn leaking(wasm: &[u8], function: &'static str, bytes: i32) -> Vec<u8> {
    let allocate = exported(wasm, "proxy_on_memory_allocate");
    let mut wrapping = Wrapping::of(wasm, Trap { function, moment: Moment::Before, nth: i32::MAX });
    wrapping.leak = Some((allocate, bytes));
    wrapping.written(wasm)
}

/// A copy whose memory may have so many pages and no more.
pub fn with_ceiling(wasm: &[u8], pages: u64) -> Vec<u8> {
    let mut module = Module::new();
    Ceiling(pages)
        .parse_core_module(&mut module, Parser::new(0), wasm)
        .expect("the module can be written anew");
    module.finish()
}

struct Ceiling(u64);

impl Reencode for Ceiling {
    type Error = Infallible;

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType, Error<Infallible>> {
        Ok(MemoryType { maximum: Some(self.0), ..utils::memory_type(self, memory) })
    }
}

/// How many pages a module's memory has at first, and may have.
pub fn ceiling(wasm: &[u8]) -> (u64, Option<u64>) {
    let memory = Parser::new(0).parse_all(wasm).find_map(|payload| match payload.unwrap() {
        Payload::MemorySection(section) => section.into_iter().next(),
        _ => None,
    });
    let memory = memory.expect("the module has a memory").unwrap();
    (memory.initial, memory.maximum)
}

fn exported(wasm: &[u8], name: &str) -> u32 {
    let export = Parser::new(0).parse_all(wasm).find_map(|payload| match payload.unwrap() {
        Payload::ExportSection(section) => {
            section.into_iter().map(Result::unwrap).find(|export| export.name == name)
        }
        _ => None,
    });
    export.expect("the module exports this function").index
}

struct Wrapping {
    trap: Trap,
    is_import: bool,
    /// The function, its type, and how many parameters that has.
    function: u32,
    type_index: u32,
    parameters: u32,
    /// What is added: a function and a global that counts calls.
    wrapper: u32,
    counter: u32,
    /// The function that allocates, and how many bytes are forgotten at each call.
    leak: Option<(u32, i32)>,
}

impl Wrapping {
    fn of(wasm: &[u8], trap: Trap) -> Self {
        let (mut types, mut functions, mut globals) = (Vec::new(), Vec::new(), 0);
        let (mut imported, mut exported) = (None, None);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::TypeSection(section) => {
                    types.extend(section.into_iter_err_on_gc_types().map(Result::unwrap));
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.unwrap();
                        match import.ty {
                            TypeRef::Func(index) => {
                                if import.name == trap.function {
                                    imported = Some(u32::try_from(functions.len()).unwrap());
                                }
                                functions.push(index);
                            }
                            TypeRef::Global(_) => globals += 1,
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    functions.extend(section.into_iter().map(Result::unwrap))
                }
                Payload::GlobalSection(section) => globals += section.count(),
                Payload::ExportSection(section) => {
                    let exports = section.into_iter().map(Result::unwrap);
                    exported = exports
                        .filter(|export| export.kind == ExternalKind::Func && export.name == trap.function)
                        .map(|export| export.index)
                        .last();
                }
                _ => {}
            }
        }
        let function = imported.or(exported).expect("the module has this function");
        let type_index = functions[usize::try_from(function).unwrap()];
        let parameters = types[usize::try_from(type_index).unwrap()].params().len();
        Wrapping {
            trap,
            is_import: imported.is_some(),
            function,
            type_index,
            parameters: u32::try_from(parameters).unwrap(),
            wrapper: u32::try_from(functions.len()).unwrap(),
            counter: globals,
            leak: None,
        }
    }

    fn written(mut self, wasm: &[u8]) -> Vec<u8> {
        let mut module = Module::new();
        self.parse_core_module(&mut module, Parser::new(0), wasm).expect("the module can be written anew");
        module.finish()
    }

    fn wrapper(&self) -> Function {
        let mut wrapper = Function::new([]);
        if let Some((allocate, bytes)) = self.leak {
            wrapper.instruction(&Instruction::I32Const(bytes));
            wrapper.instruction(&Instruction::Call(allocate));
            wrapper.instruction(&Instruction::Drop);
        }
        if self.trap.moment == Moment::Before {
            self.count(&mut wrapper);
        }
        for parameter in 0..self.parameters {
            wrapper.instruction(&Instruction::LocalGet(parameter));
        }
        wrapper.instruction(&Instruction::Call(self.function));
        if self.trap.moment == Moment::After {
            self.count(&mut wrapper);
        }
        wrapper.instruction(&Instruction::End);
        wrapper
    }

    /// Counts, and traps if it is time.
    fn count(&self, wrapper: &mut Function) {
        let instructions = [
            Instruction::GlobalGet(self.counter),
            Instruction::I32Const(1),
            Instruction::I32Add,
            Instruction::GlobalSet(self.counter),
            Instruction::GlobalGet(self.counter),
            Instruction::I32Const(self.trap.nth),
            Instruction::I32RemU,
            Instruction::I32Eqz,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
        ];
        for instruction in &instructions {
            wrapper.instruction(instruction);
        }
    }
}

type Written = Result<(), Error<Infallible>>;

impl Reencode for Wrapping {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        let is_wrapped = self.is_import && function == self.function;
        Ok(if is_wrapped { self.wrapper } else { function })
    }

    // By its name, since functions that do the same may be one function with several.
    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) -> Written {
        if !self.is_import && export.name == self.trap.function {
            exports.export(export.name, ExportKind::Func, self.wrapper);
            return Ok(());
        }
        utils::parse_export(self, exports, export)
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Written {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.type_index);
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Written {
        utils::parse_global_section(self, globals, section)?;
        let counter = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(counter, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Written {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.wrapper());
        Ok(())
    }

    // Names are of functions as they were.
    fn parse_custom_section(&mut self, _: &mut Module, _: wasmparser::CustomSectionReader<'_>) -> Written {
        Ok(())
    }
}
