//! The order of the list of processes: below each its children.

use super::ps::PsProcess;
use std::collections::{BTreeSet, HashMap};

/// No chain of processes is longer; PIDs given anew while they are read can make a circle.
const LONGEST_CHAIN: usize = 1000;

/// Parents before their children. A worker whose parent is no Python, as under a shell, hangs below the next Python above,
/// which `parent_of` helps to find.
pub(super) fn arrange(processes: Vec<PsProcess>, parent_of: impl Fn(i32) -> Option<i32>) -> Vec<PsProcess> {
    let known: BTreeSet<i32> = processes.iter().map(|process| process.pid).collect();
    let mut children: HashMap<Option<i32>, Vec<PsProcess>> = HashMap::new();
    for mut process in processes {
        let mut above = Some(process.parent_pid);
        for _ in 0..LONGEST_CHAIN {
            match above {
                Some(pid) if pid > 0 && !known.contains(&pid) => above = parent_of(pid),
                _ => break,
            }
        }
        process.python_parent_pid = above.filter(|pid| known.contains(pid) && *pid != process.pid);
        children.entry(process.python_parent_pid).or_default().push(process);
    }
    let mut arranged = Vec::new();
    let mut waiting: Vec<(PsProcess, usize)> = roots(&mut children, None, 0);
    loop {
        while let Some((mut process, depth)) = waiting.pop() {
            process.depth = depth;
            waiting.extend(roots(&mut children, Some(process.pid), depth + 1));
            arranged.push(process);
        }
        // What is left are circles, which PIDs that were given anew meanwhile can make: cut open somewhere.
        let Some(key) = children.keys().next().copied() else { return arranged };
        waiting = roots(&mut children, key, 0);
    }
}

/// Takes the children of one out, the one with the smallest PID last.
fn roots(
    children: &mut HashMap<Option<i32>, Vec<PsProcess>>,
    of: Option<i32>,
    depth: usize,
) -> Vec<(PsProcess, usize)> {
    let own = children.remove(&of).unwrap_or_default();
    own.into_iter().rev().map(|process| (process, depth)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(processes: &[(i32, i32)], others: &[(i32, i32)]) -> Vec<(i32, usize)> {
        let process =
            |(pid, parent_pid): &(i32, i32)| PsProcess { pid: *pid, parent_pid: *parent_pid, ..PsProcess::default() };
        let parent = |pid| others.iter().find(|(other, _)| *other == pid).map(|(_, parent)| *parent);
        arrange(processes.iter().map(process).collect(), parent).iter().map(|p| (p.pid, p.depth)).collect()
    }

    #[test]
    fn workers_are_below_their_parents() {
        let found = tree(&[(10, 1), (11, 10), (12, 20), (13, 11), (30, 1)], &[(1, 0), (20, 10)]);
        assert_eq!(found, [(10, 0), (11, 1), (13, 2), (12, 1), (30, 0)]);
    }

    #[test]
    fn circles_end() {
        let mut found = tree(&[(1, 2), (2, 1), (3, 3), (4, 5)], &[(5, 6), (6, 5)]);
        found.sort_unstable();
        assert_eq!(found.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn nobody_is_lost(parents in prop::collection::vec(0..30i32, 0..30)) {
            let processes: Vec<(i32, i32)> = (1..).zip(parents).collect();
            let mut found: Vec<i32> = tree(&processes, &[]).iter().map(|(pid, _)| *pid).collect();
            found.sort_unstable();
            prop_assert_eq!(found, processes.iter().map(|(pid, _)| *pid).collect::<Vec<_>>());
        }
    }
}
