//! Agents by themselves: each is started, broken behind the manager's back, and stopped.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};
use twinbeat::core::id::{Attempt, Epoch, GroupId};
use twinbeat::core::io::{ServiceOrder, ServiceReport};
use twinbeat::service::ocf::meta_data;
use twinbeat::service::{AgentSpec, GroupServices, Kind, OcfSpec, Report, ServiceManager, ServiceSpec, Tools};

/// In a mount and a network namespace of this thread: `/run` and `/usr/local/sbin` are empty, eth0 is there, and what the agents want of this
/// machine and it lacks has a stand-in.
fn namespaces() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    for place in ["/run", BIN] {
        mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    }
    let there = |name: &str| ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    for (name, stand_in) in [("gawk", "/usr/bin/awk"), ("modprobe", "/bin/true")] {
        if !there(name) {
            symlink(stand_in, Path::new(BIN).join(name)).unwrap();
        }
    }
    shell("ip link set lo up && ip link add eth0 type veth peer name eth1 && ip link set eth0 up");
}

fn shell(words: &str) {
    let done = Command::new("sh").args(["-c", words]).output().unwrap();
    assert!(done.status.success(), "{words}: {}", String::from_utf8_lossy(&done.stderr));
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// One agent under a manager.
struct Life {
    dir: TempDir,
    manager: ServiceManager,
    reports: UnboundedReceiver<Report>,
    attempt: u64,
}

impl Life {
    fn new(root: &Path, agent: &str, parameters: &[(&str, &str)], promoted: bool) -> Life {
        let dir = tempfile::tempdir().unwrap();
        let kind = Kind::Ocf(OcfSpec {
            agent: AgentSpec {
                root: root.to_owned(),
                program: root.join("resource.d/heartbeat").join(agent),
                provider: "heartbeat".into(),
                agent: agent.into(),
                parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                promoted,
            },
            monitor_interval: Duration::from_secs(1),
        });
        let service = ServiceSpec {
            kind,
            warm: false,
            start_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(20),
            checks: Vec::new(),
            validate: None,
            restarts: 1,
            restart_window: Duration::from_secs(60),
        };
        let group = GroupServices {
            group: GroupId(0),
            name: "web".into(),
            node: "master1".into(),
            state_dir: dir.path().to_owned(),
            services: vec![service],
            tools: Tools::default(),
        };
        let (sender, reports) = unbounded_channel();
        Life { manager: ServiceManager::spawn(group, sender).unwrap(), dir, reports, attempt: 0 }
    }

    async fn order(&mut self, order: ServiceOrder) -> ServiceReport {
        self.attempt += 1;
        self.manager.order(Attempt(self.attempt), order);
        loop {
            let report = timeout(Duration::from_secs(60), self.reports.recv()).await.expect("a report").unwrap();
            match report {
                Report::Done { report, .. } => return report,
                Report::Startable { obstacle, .. } => assert_eq!(obstacle, None, "its own validate-all"),
            }
        }
    }

    /// Through a whole life: `up` says whether it runs, as anybody sees it; `harm` takes it down.
    async fn live(mut self, name: &str, up: impl Fn() -> bool, harm: impl Fn()) {
        let said = |what: &str| format!("{name}: {what}\n{}", self.words());
        assert!(!self.manager.running().await && !up(), "{}", said("runs before its start"));
        let (order, words) = (ServiceOrder::Start(Epoch(2)), self.log());
        let started = self.order(order).await;
        let said = |what: &str| format!("{name}: {what}\n{}", fs::read_to_string(&words).unwrap_or_default());
        assert_eq!(started, ServiceReport::Started, "{}", said("start"));
        assert!(self.manager.running().await && up(), "{}", said("does not run"));
        harm();
        let until = Instant::now() + Duration::from_secs(30);
        while !up() {
            assert!(Instant::now() < until, "{}", said("was not started again"));
            sleep(Duration::from_millis(50)).await;
        }
        let stopped = self.order(ServiceOrder::Stop).await;
        assert_eq!(stopped, ServiceReport::Stopped, "{}", said("stop"));
        assert!(!self.manager.running().await && !up(), "{}", said("runs behind its stop"));
        println!("{name}: started, mended, stopped");
    }

    fn log(&self) -> PathBuf {
        let files = fs::read_dir(self.dir.path().join("services")).into_iter().flatten();
        files.map(|file| file.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "log")).unwrap_or_default()
    }

    fn words(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

fn page(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Ends the session of a daemon whose test has ended early.
struct Leftover(&'static str);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(pid) = fs::read_to_string(self.0).ok().and_then(|text| text.trim().parse().ok()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn mounted(place: &Path) -> bool {
    let table = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    table.lines().any(|line| line.split(' ').nth(1) == place.to_str())
}

#[test]
fn debians_agents_are_started_mended_and_stopped() {
    let Some(root) = super::root().filter(|_| super::common::ready()) else { return };
    // A thread's own namespaces are those of the threads and programs that it starts.
    let whole = std::thread::spawn(move || {
        namespaces();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            dummy(&root).await;
            stateful(&root).await;
            filesystem(&root).await;
            nginx(&root).await;
            apache(&root).await;
            cloud(&root).await;
        });
    });
    if let Err(why) = whole.join() {
        std::panic::resume_unwind(why);
    }
}

async fn dummy(root: &Path) {
    // Where it keeps it by default: HA_RSCTMP, which nobody has made here.
    let state = Path::new("/run/resource-agents/Dummy-web.Dummy.state");
    let harm = || fs::remove_file(state).unwrap();
    Life::new(root, "Dummy", &[], false).live("Dummy", || state.exists(), harm).await;
}

async fn stateful(root: &Path) {
    let state = Path::new("/run/stateful");
    let is = || fs::read_to_string(state).is_ok_and(|text| text.trim() == "master");
    // Demoted by another hand. No crm_attribute is here, and none is needed.
    let harm = || fs::write(state, "slave\n").unwrap();
    Life::new(root, "Stateful", &[("state", "/run/stateful")], true).live("Stateful, promoted", is, harm).await;
    assert!(!state.exists());
}

async fn filesystem(root: &Path) {
    fs::create_dir_all("/run/disk").unwrap();
    fs::create_dir_all("/run/here").unwrap();
    let here = Path::new("/run/here");
    let parameters = [("device", "/run/disk"), ("directory", "/run/here"), ("fstype", "none"), ("options", "bind")];
    Life::new(root, "Filesystem", &parameters, false)
        .live("Filesystem, bind", || mounted(here), || shell("umount /run/here"))
        .await;
    let parameters = [("device", "tmpfs"), ("directory", "/run/here"), ("fstype", "tmpfs")];
    Life::new(root, "Filesystem", &parameters, false)
        .live("Filesystem, tmpfs", || mounted(here), || shell("umount /run/here"))
        .await;
}

async fn nginx(root: &Path) {
    if !Path::new("/usr/sbin/nginx").exists() {
        println!("SKIPPED: nginx is not installed");
        return;
    }
    let temp =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path /run/{kind};\n")).concat();
    let conf = format!(
        "pid /run/own.pid;\nerror_log /run/own.log;\nevents {{\n}}\nhttp {{\naccess_log off;\n{temp}server {{\nlisten 8099;\nlocation / {{\n\
         return 200 \"well\";\n}}\n}}\n}}\n"
    );
    fs::write("/run/own.conf", conf).unwrap();
    let up = || page(8099).is_some_and(|text| text.contains("well"));
    // Master and workers.
    let harm =
        || killpg(Pid::from_raw(fs::read_to_string("/run/own.pid").unwrap().trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    let _leftover = Leftover("/run/own.pid");
    let parameters = [("configfile", "/run/own.conf"), ("status10url", "http://127.0.0.1:8099/")];
    Life::new(root, "nginx", &parameters, false).live("nginx", up, harm).await;
}

async fn apache(root: &Path) {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ocf");
    let Some(base) = [unpacked, PathBuf::from("/")].into_iter().find(|base| base.join("usr/sbin/apache2").exists()) else {
        println!("SKIPPED: no apache2 below target/ocf (netns-tests/run.sh unpacks it) or installed");
        return;
    };
    let base = base.display().to_string().trim_end_matches('/').to_owned();
    let libraries = format!("{base}/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    script(Path::new("/run/httpd"), &format!("LD_LIBRARY_PATH={libraries} exec {base}/usr/sbin/apache2 \"$@\"\n"));
    let modules = ["mpm_event", "authz_core", "status"]
        .map(|name| format!("LoadModule {name}_module {base}/usr/lib/apache2/modules/mod_{name}.so\n"));
    let conf = format!(
        "{}ServerName localhost\nServerRoot /run\nDefaultRuntimeDir /run\nPidFile /run/apache.pid\nErrorLog /run/apache.log\nDocumentRoot /run/docs\n\
         Listen 127.0.0.1:8098\n<Location /server-status>\nSetHandler server-status\n</Location>\n",
        modules.concat()
    );
    fs::create_dir_all("/run/docs").unwrap();
    fs::write("/run/docs/index.html", "well").unwrap();
    fs::write("/run/apache.conf", conf).unwrap();
    let up = || page(8098).is_some_and(|text| text.starts_with("HTTP/1.1 "));
    let harm = || {
        killpg(Pid::from_raw(fs::read_to_string("/run/apache.pid").unwrap().trim().parse().unwrap()), Signal::SIGKILL).unwrap()
    };
    let _leftover = Leftover("/run/apache.pid");
    let status = "http://127.0.0.1:8098/server-status";
    let parameters = [("configfile", "/run/apache.conf"), ("httpd", "/run/httpd"), ("statusurl", status)];
    Life::new(root, "apache", &parameters, false).live("apache", up, harm).await;
}

/// The cloud's tools are stand-ins that write down how they were called, and keep the route in a file.
async fn cloud(root: &Path) {
    script(
        Path::new("/run/aws"),
        "echo \"$@\" >> /run/aws.calls\ncase \" $* \" in\n*' describe-route-tables '*) cat /run/route 2> /dev/null ;;\n*' replace-route '*) echo i-0123 > /run/route ;;\n*) exit 1 ;;\nesac\n",
    );
    let curl = "echo \"$@\" >> /run/curl.calls\ncase \"$*\" in\n*api/token*) echo token ;;\n*meta-data/instance-id*) echo i-0123 ;;\n\
                */interface-id*) echo eni-0456 ;;\n*) exit 7 ;;\nesac\n";
    script(&Path::new(BIN).join("curl"), curl);
    let up = || {
        let shown = Command::new("ip").args(["-o", "address", "show", "dev", "eth0"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains(" 192.0.2.99/32 ")
    };
    let parameters = [
        ("awscli", "/run/aws"),
        ("ip", "192.0.2.99"),
        ("routing_table", "rtb-1"),
        ("interface", "eth0"),
        ("region", "eu-west-1"),
    ];
    let harm = || shell("ip address delete 192.0.2.99/32 dev eth0");
    Life::new(root, "aws-vpc-move-ip", &parameters, false).live("aws-vpc-move-ip", up, harm).await;
    let calls = fs::read_to_string("/run/aws.calls").unwrap();
    let wanted = "--profile default --region eu-west-1 --output text ec2 replace-route --route-table-id rtb-1 --destination-cidr-block 192.0.2.99/32 \
                  --network-interface-id eni-0456";
    assert!(calls.lines().any(|line| line == wanted), "{calls}");
}

#[test]
fn all_of_debians_agents_say_what_they_are_in_words_that_are_understood() {
    let Some(root) = super::root() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut names: Vec<String> = fs::read_dir(root.join("resource.d/heartbeat"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let (mut read, mut not) = (0, Vec::new());
    for name in &names {
        let spec = AgentSpec {
            root: root.clone(),
            program: root.join("resource.d/heartbeat").join(name),
            provider: "heartbeat".into(),
            agent: name.clone(),
            parameters: Default::default(),
            promoted: false,
        };
        match runtime.block_on(meta_data(&spec, Duration::from_secs(20))) {
            Ok(meta) => {
                assert!(meta.actions.iter().any(|action| action.name == "start"), "{name}: {meta:?}");
                assert!(meta.parameters.iter().all(|parameter| !parameter.name.is_empty()), "{name}: {meta:?}");
                read += 1;
            }
            Err(why) => not.push(format!("{name}: {why}")),
        }
    }
    println!("{read} agents say what they are; {} do not: {not:#?}", not.len());
    // Some need an interpreter or a library that this machine may lack; none is refused for its XML but for what is none.
    assert!(read > 100, "{not:#?}");
    assert!(not.iter().all(|why| !why.contains("no XML")), "{not:#?}");
}

/// First in PATH, and empty on most machines.
const BIN: &str = "/usr/local/sbin";
