//! What is installed, and the scripts by which services are started and looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::node::Site;

/// The installed version of a Debian package.
pub(super) fn package_version(package: &str) -> Result<String> {
    let done = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Version}", package]).output();
    let text = done.map(|d| String::from_utf8_lossy(&d.stdout).into_owned()).unwrap_or_default();
    match text.strip_prefix("installed ") {
        Some(version) => Ok(version.to_owned()),
        None => bail!("{package} is not installed (netns-tests/compare.sh installs it)"),
    }
}

/// An executable shell script.
pub(super) fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// A script that starts, stops and looks at the page server of the node that it runs on, as a distribution's init script would. A zombie that nobody has
/// reaped yet (it has no `exe`) does not live.
pub(super) fn service_script(site: &Site) -> String {
    let here = site.here();
    let here = here.display();
    let words: Vec<String> = site.service().iter().map(|word| format!("'{word}'")).collect();
    format!(
        "#!/bin/sh\n\
         lives() {{ read -r pid < {here}/service.pid && [ \"$(cat /proc/$pid/comm)\" = nginx ] && [ -e /proc/$pid/exe ]; }} 2> /dev/null\n\
         case $1 in\n\
         start)\n\
         lives && exit 0\n\
         setsid sh -c 'echo $$ > {here}/service.pid; exec \"$@\"' sh {} < /dev/null >> {here}/service.log 2>&1 &\n\
         n=0; until lives || [ $n -ge 50 ]; do sleep 0.02; n=$((n+1)); done; lives ;;\n\
         stop) if lives; then kill $pid; rm -f {here}/service.pid; fi ;;\n\
         status) if lives; then echo running; else echo stopped; exit 3; fi ;;\n\
         esac\n",
        words.join(" ")
    )
}

/// Starts the page server of a node where none runs, as at boot. Called inside the node.
pub(super) fn start_service(site: &Site) -> Result<()> {
    let mut command = Command::new(site.here().join("service"));
    run_quietly(command.arg("start"))
}

/// The same from outside, in the mounts of the node's daemon.
pub(crate) fn revive_service(main: u32, site: &Site) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.args(["--target", &main.to_string(), "--mount", "--uts", "--net", "--"]).arg(site.here().join("service"));
    run_quietly(command.arg("start"))
}

/// Waits for a script that leaves something running: so none of our pipes.
fn run_quietly(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status().with_context(|| format!("run {:?}", command.get_program()))?.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_absent_is_named() {
        let error = package_version("no-such-package-here").unwrap_err().to_string();
        assert!(error.contains("no-such-package-here is not installed"), "{error}");
    }
}
