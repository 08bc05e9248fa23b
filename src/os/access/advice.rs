//! Commands that help, ready to be typed.

use super::evidence::Surroundings;

/// What gives pyattach the right to look at another's process: root here, a capability in a container.
pub(super) fn privileges(pid: i32, ours: &Surroundings) -> Vec<String> {
    let mut advice = Vec::new();
    // Root without the capability gains nothing by sudo.
    if !ours.is_root {
        advice.push(sudo(pid, ours));
    }
    if ours.is_root || ours.container.is_some() {
        advice.extend(containers());
    }
    advice
}

/// `sudo` does not know the caller's `PATH`, so the program is named by its whole path.
pub(super) fn sudo(pid: i32, ours: &Surroundings) -> String {
    format!("run it as root: sudo {} stack {pid}", ours.program)
}

/// How a container gets the capability.
pub(super) fn containers() -> Vec<String> {
    vec![
        "docker or podman: docker run --cap-add SYS_PTRACE …, or beside the running container: docker run --pid=container:NAME \
         --cap-add SYS_PTRACE …"
            .to_owned(),
        "compose: cap_add: [SYS_PTRACE] for the service".to_owned(),
        "kubernetes: kubectl debug -it POD --image=IMAGE --target=CONTAINER --profile=general (or sysadmin)".to_owned(),
    ]
}

/// How to see the processes of another PID namespace.
pub(super) fn pid_namespaces() -> Vec<String> {
    vec![
        "give the number that the process has where pyattach runs: pyattach ps lists both".to_owned(),
        "docker: docker run --pid=container:NAME --cap-add SYS_PTRACE … (or --pid=host)".to_owned(),
        "kubernetes: kubectl debug -it POD --image=IMAGE --target=CONTAINER --profile=general".to_owned(),
    ]
}

/// A word as a POSIX shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("/usr/bin/pyattach"), "/usr/bin/pyattach");
        assert_eq!(quoted("/opt/my tools/it's"), "'/opt/my tools/it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn sudo_is_no_use_to_root() {
        let mut ours = Surroundings { program: "/bin/pyattach".to_owned(), is_root: false, container: None };
        assert_eq!(privileges(7, &ours), ["run it as root: sudo /bin/pyattach stack 7"]);
        ours.is_root = true;
        assert!(privileges(7, &ours).iter().all(|line| !line.contains("sudo")));
        assert!(privileges(7, &ours).iter().any(|line| line.contains("--cap-add SYS_PTRACE")));
    }
}
