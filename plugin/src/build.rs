//! Which plugin this is: operators read it off the proxy's log and its statistics.

use crate::host::{self, Level};

/// The version, and the commit that a release was made of: twelve hexadecimal digits, or
/// `unknown`. `cargo xtask image` and `dist` tell it, and no other build: else each commit would
/// make each build a new one.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const COMMIT: &str = match option_env!("PORTCULLIS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Says it: before the configuration is read, which another version may not take.
pub(crate) fn tell() {
    host::log(Level::Info, &["portcullis ", VERSION, ", commit ", COMMIT].concat());
    // A proxy's statistics are numbers: the names say it, in the way of the other metrics.
    if let Ok(gauge) =
        host::define_gauge(&["portcullis_build.version.", VERSION, ".commit.", COMMIT].concat())
    {
        host::record(gauge, 1);
    }
}
