//! `cargo xtask image`: the plugin as an OCI image, in a folder and in a registry.

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{pins, released, warning};
use crate::progress;
use crate::workspace::Workspace;
use xtask::oci::{self, Destination};
use xtask::source::Source;

#[derive(Args)]
pub(crate) struct ImageOptions {
    /// The folder for the image layout, instead of target/image
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Push the image there; without a tag, the version is the tag
    #[arg(long, value_name = "REGISTRY/NAME[:TAG]")]
    push: Option<String>,
}

/// Makes the image, pushes it if that is asked for, and says what to paste.
pub(crate) fn image(workspace: &Workspace, options: &ImageOptions) -> Result<()> {
    let source = Source::of(workspace)?;
    // Read before minutes of building.
    let to = options
        .push
        .as_deref()
        .map(|text| Destination::new(text, source.version, docker_config().as_deref()));
    let to = to.transpose()?;
    let released = released(workspace, &source)?;
    let image = &released.image;
    let folder = options.output.clone().unwrap_or_else(|| workspace.target.join("image"));
    image.write(&folder)?;
    println!("portcullis {}, commit {}", source.version, source.stamp());
    println!("{}: an OCI image layout, {}", workspace.short(&folder), image.manifest.digest);
    let address = match &to {
        None => format!("REGISTRY/portcullis:{}", image.tag),
        Some(to) => {
            let pushed = progress::step(&format!("push to {to}"), |_| oci::push(image, to))?;
            println!("{to}: pushed, and pulled again: the same bytes");
            println!(
                "what is in the plugin is there under the tag {}, and refers to the image",
                pushed.sbom_tag
            );
            if !pushed.lists_referrers {
                println!(
                    "(the registry lists no referrers by itself: a tag does, as the specification has it)"
                );
            }
            to.to_string()
        }
    };
    println!("\n{}", pins(&released, &address));
    if let Some(warning) = warning(&source) {
        println!("NOTE: {warning}");
    }
    Ok(())
}

/// Where docker and others keep who may push.
fn docker_config() -> Option<PathBuf> {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let at_home = || Some(PathBuf::from(env::var_os("HOME")?).join(".docker"));
    Some(folder.or_else(at_home)?.join("config.json"))
}
