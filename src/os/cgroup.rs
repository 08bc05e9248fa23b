//! What the control groups of a process say of the container, pod or service it belongs to. A hint for people: the names are
//! conventions of container engines, and whoever may make control groups may give them any name.

use super::access::read_proc;
use serde::Serialize;

/// Longest name that is taken; longer ones are no names.
const NAME_BYTES: usize = 128;

/// What a process belongs to, as far as its control groups say so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cgroup {
    /// What made the container: `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `nspawn`, `kubernetes`; `container` when
    /// only the shape of its id tells that it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<&'static str>,
    /// The container's id, or its name where the engine has no ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The uid of the Kubernetes pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// The systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Cgroup {
    /// Reads that of a process.
    pub fn read(pid: i32) -> Cgroup {
        parse_cgroup(&read_proc(&format!("/proc/{pid}/cgroup")).unwrap_or_default())
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Cgroup::default()
    }
}

/// Scopes that systemd makes for containers: what the name begins with, and the engine.
const SCOPES: &[(&str, &str)] = &[
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
    ("docker-", "docker"),
];

/// Folders in which engines make one for each container.
const FOLDERS: &[(&str, &str)] =
    &[("docker", "docker"), ("libpod_parent", "podman"), ("lxc", "lxc"), ("default", "containerd"), ("ecs", "docker")];

/// Parses `/proc/PID/cgroup`: lines of `number:controllers:path` (`cgroups(7)`), one for each hierarchy.
pub fn parse_cgroup(text: &str) -> Cgroup {
    let mut found = Cgroup::default();
    for path in text.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && part.len() <= NAME_BYTES).collect();
        for (at, part) in parts.iter().enumerate() {
            let folder = at.checked_sub(1).and_then(|before| parts.get(before)).copied().unwrap_or_default();
            look_at(part, folder, &mut found);
        }
    }
    if found.pod_uid.is_some() && matches!(found.engine, None | Some("container")) {
        found.engine = Some("kubernetes");
    }
    // The scope of a container is a unit too, but that says nothing new.
    found.unit = found.unit.filter(|_| found.container_id.is_none());
    found
}

/// Looks at one part of a path, innermost last: what is further in replaces what is further out.
fn look_at(part: &str, folder: &str, found: &mut Cgroup) {
    let scope = part.strip_suffix(".scope").unwrap_or(part);
    if let Some(uid) = pod_uid(part) {
        found.pod_uid = Some(uid);
    } else if let Some((engine, id)) = container(scope, folder) {
        (found.engine, found.container_id) = (Some(engine), Some(id));
    } else if (part.ends_with(".service") || part.ends_with(".scope")) && is_name(part) {
        found.unit = Some(part.to_owned());
    }
}

/// `pod<uid>` of the cgroupfs driver; `kubepods-burstable-pod<uid>.slice` of the systemd driver, with `_` for `-`.
fn pod_uid(part: &str) -> Option<String> {
    let uid = match part.strip_prefix("kubepods") {
        Some(rest) => rest.strip_suffix(".slice")?.rsplit_once("-pod")?.1,
        None => part.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let is_uid = uid.len() >= 32 && uid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_uid.then_some(uid)
}

fn container(scope: &str, folder: &str) -> Option<(&'static str, String)> {
    for (prefix, engine) in SCOPES {
        // What watches a container of podman's is not in it: `libpod-conmon-<id>`.
        if let Some(id) = scope.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((engine, id.to_owned()));
        }
    }
    if let Some(name) = scope.strip_prefix("lxc.payload.").filter(|name| is_name(name)) {
        return Some(("lxc", name.to_owned()));
    }
    if let Some(name) = scope.strip_prefix("machine-").filter(|name| folder == "machine.slice" && is_name(name)) {
        return Some(("nspawn", name.replace("\\x2d", "-")));
    }
    if folder == "lxc" && is_name(scope) {
        return Some(("lxc", scope.to_owned()));
    }
    if !is_id(scope) {
        return None;
    }
    let engine = FOLDERS.iter().find(|(name, _)| *name == folder).map_or("container", |(_, engine)| engine);
    // Kubernetes with the cgroupfs driver: `cri-containerd:<id>` and plain ids below the pod.
    Some((engine, scope.to_owned()))
}

/// 64 hexadecimal digits, as all engines make them.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Characters that units and containers may have in their names.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn of(path: &str) -> (Option<&'static str>, Option<String>, Option<String>, Option<String>) {
        let found = parse_cgroup(&format!("0::{}\n", path.replace("ID", ID)));
        (found.engine, found.container_id, found.pod_uid, found.unit)
    }

    #[test]
    fn containers() {
        for (path, engine) in [
            ("/docker/ID", "docker"),
            ("/system.slice/docker-ID.scope", "docker"),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", "podman"),
            ("/system.slice/nerdctl-ID.scope", "containerd"),
            ("/ecs/0123456789abcdef/ID", "container"),
            ("/some/where/ID", "container"),
        ] {
            assert_eq!(of(path), (Some(engine), Some(ID.to_owned()), None, None), "{path}");
        }
        assert_eq!(of("/lxc.payload.web-1").1.as_deref(), Some("web-1"));
        assert_eq!(of("/lxc/web-1").0, Some("lxc"));
        assert_eq!(of("/machine.slice/machine-web\\x2d1.scope").1.as_deref(), Some("web-1"));
    }

    #[test]
    fn pods() {
        let dashes = POD.replace('-', "_");
        for (path, engine) in [
            (format!("/kubepods/burstable/pod{POD}/ID"), "kubernetes"),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{dashes}.slice/cri-containerd-ID.scope"
                ),
                "containerd",
            ),
            (format!("/kubepods.slice/kubepods-pod{dashes}.slice/crio-ID.scope"), "cri-o"),
        ] {
            assert_eq!(of(&path), (Some(engine), Some(ID.to_owned()), Some(POD.to_owned()), None), "{path}");
        }
    }

    #[test]
    fn units() {
        assert_eq!(of("/system.slice/shop.service").3.as_deref(), Some("shop.service"));
        assert_eq!(
            of("/user.slice/user@1000.service/app.slice/vte-spawn-7.scope").3.as_deref(),
            Some("vte-spawn-7.scope")
        );
        assert_eq!(of("/"), (None, None, None, None));
        assert_eq!(of("/system.slice/libpod-conmon-ID.scope").1, None);
        let first = "12:pids:/system.slice/a.service\n11:cpu,cpuacct:/\n0::/\n";
        assert_eq!(parse_cgroup(first).unit.as_deref(), Some("a.service"));
    }

    #[test]
    fn names_that_are_none() {
        assert!(parse_cgroup("0::/system.slice/\x1b[31m.service\n").is_empty());
        assert!(parse_cgroup(&format!("0::/{}.service", "a".repeat(5000))).is_empty());
        assert!(parse_cgroup("0::/docker/0123").is_empty());
        assert!(parse_cgroup("::::\n0:\n\n").is_empty());
    }

    proptest! {
        #[test]
        fn only_names_come_out(text in "(([0-9]{1,2}:[a-z,]{0,9}:)?(/(docker-|lxc|pod|kubepods-pod|machine.slice|.{0,12}|[0-9a-f]{64})){0,4}(.scope|.service)?\n?){0,4}") {
            let found = parse_cgroup(&text);
            for name in [found.container_id, found.pod_uid, found.unit].into_iter().flatten() {
                prop_assert!(name.len() <= NAME_BYTES && name.is_ascii() && crate::base::is_safe(&name), "{name:?}");
            }
        }
    }
}
