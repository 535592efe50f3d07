//! The package's types, judged by the TypeScript compiler: a user's program compiles, and what is
//! wrong in it does not.

use crate::web_stand::{given, node, project};

#[test]
fn a_users_program_compiles_strictly_and_wrong_use_does_not() {
    let packages = given("PORTCULLIS_NODE_PACKAGES");
    for (program, library, types) in [
        ("user.ts", "es2024,dom,dom.iterable", "node"),
        // As programs for Node alone are set up.
        ("user.ts", "es2024", "node"),
        ("worker.ts", "es2024,webworker", ""),
    ] {
        for resolution in
            [["--module", "nodenext"].as_slice(), &["--module", "esnext", "--moduleResolution", "bundler"]]
        {
            let mut command = node();
            command
                .arg(packages.join("typescript/bin/tsc"))
                .args(["--noEmit", "--strict", "--target", "es2024"]);
            command.args(["--lib", library, "--types", types, "--typeRoots"]).arg(packages.join("@types"));
            let output = command.args(resolution).arg(project().join(program)).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            // A line of the program that must not compile, and does, is said here too.
            assert!(output.status.success(), "{program} with {library}, {resolution:?}: {said}");
        }
    }
}
