//! The console's pages in real Chromium, with what a real service and real Envoys say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "a test may fail")]

mod browser;
mod live_stand;

use browser::Browser;
use live_stand::{agent, given, passport};
use portcullis_core::json::canonical_text;
use serde_json::json;
use xtask::made_log;

#[test]
fn the_audit_page_judges_an_export_from_one_file_with_the_network_cut() {
    let Some(browser) =
        Browser::for_test("the_audit_page_judges_an_export_from_one_file_with_the_network_cut")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let records = 1000;
    let (exported, keys) = made_log::write(folder.path(), records, made_log::decision).unwrap();
    let scene = json!({
        "page": given("PORTCULLIS_AUDIT_PAGE"), "folder": folder.path(), "exported": exported, "keys": keys,
        "records": "1,000", "passport": canonical_text(passport(&agent(1), "pp_shown").envelope()),
    });
    browser.run("audit_offline.mjs", &scene);
}
