//! The Model Context Protocol: what the REST surface offers, as tools that a model may call
//! (<https://modelcontextprotocol.io/specification>, up to version 2026-07-28).
//!
//! A tool is a row of the table in [`tools`]; a call of it becomes one request of the REST
//! surface ([`request`]), with the caller's own API key, so that scopes, limits and errors are
//! those of REST. Where that surface is, [`Rest`] knows: in this process, for what is served
//! at `/mcp` ([`http`]), or at a running service, for `portcullis-control mcp` ([`stdio`]).

pub mod answer;
pub mod http;
pub mod request;
pub mod rest;
pub mod stdio;
pub mod tools;

pub use rest::Rest;

use answer::Refusal;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};

/// Answers the protocol's requests. Keeps nothing between them; cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    rest: Rest,
}

impl Server {
    /// A server whose tools call this REST surface.
    pub fn new(rest: Rest) -> Self {
        Server { rest }
    }
}

const INSTRUCTIONS: &str = "Portcullis lets AI agents through gates by the passports that they hold. These tools \
    manage gates, passports, catalogs and constraints, ask for decisions, and read what was decided, spent and \
    settled. Each answers with JSON; one that fails says in `message` what was wrong, and in `field` where.";

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let name =
            Implementation::new("portcullis-control", env!("CARGO_PKG_VERSION")).with_title("Portcullis");
        ServerConfig::new(capabilities).with_server_info(name).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::described().to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        tools::described().iter().find(|tool| tool.name == name).cloned()
    }

    /// What REST refuses is a result with `isError`; that there is no such tool, an error of
    /// the protocol.
    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = tools::find(&call.name) else {
            return Err(ErrorData::invalid_params(format!("there is no tool {:.100}", call.name), None));
        };
        let asked = match request::of_call(tool, call.arguments.unwrap_or_default()) {
            Ok(asked) => asked,
            Err(refusal) => return Ok(refusal.into()),
        };
        let answer = tokio::select! {
            answer = self.rest.ask(asked, &context.extensions) => answer,
            // Nobody waits any more: REST is left as by a caller who hangs up.
            () = context.ct.cancelled() => Err(Refusal::new("cancelled", "the call was cancelled")),
        };
        Ok(answer.map_or_else(CallToolResponse::from, CallToolResponse::from))
    }
}
