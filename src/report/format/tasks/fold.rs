//! Tasks that are alike, with all that they wait for, as one: what the tree shows once, with a number.

use crate::report::tasks::graph::Graph;
use crate::report::tasks::{AwaitKind, Task, TaskState};
use std::collections::HashMap;

/// What two tasks have in common that are shown as one line.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    state: TaskState,
    event_loop: Option<u64>,
    /// Where the frames are; those of equal places are the same.
    frames: Vec<usize>,
    awaits: Option<AwaitKind>,
    asked_to_cancel: bool,
    exception: Option<String>,
    /// Some are each by themselves.
    itself: Option<u32>,
}

/// One thing below a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Below {
    /// A tree of this shape, of which nobody else is a part.
    Own(u32),
    /// A task that others wait for, too, or that is part of a circle.
    Shared(u32),
}

/// Tasks on one line, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) tasks: Vec<u32>,
    /// Others wait for it as well, or it is part of a circle, so that it may have been shown before.
    pub(super) shared: bool,
}

/// The shapes of all tasks.
pub(super) struct Shapes<'g> {
    graph: &'g Graph,
    /// What a task alone looks like.
    looks: Vec<u32>,
    /// What it looks like with all below it.
    shapes: Vec<u32>,
}

impl<'g> Shapes<'g> {
    pub(super) fn of(tasks: &[Task], graph: &'g Graph) -> Shapes<'g> {
        let mut known: HashMap<Alike, u32> = HashMap::new();
        let look = |(number, task): (usize, &Task)| {
            let next = known.len() as u32;
            *known.entry(alike(number as u32, task)).or_insert(next)
        };
        let looks: Vec<u32> = tasks.iter().enumerate().map(look).collect();
        let mut shapes = Shapes { graph, shapes: vec![0; looks.len()], looks };
        shapes.find();
        shapes
    }

    /// From the leaves up, without recursion.
    fn find(&mut self) {
        let all = 0..self.looks.len() as u32;
        let mut order: Vec<u32> = Vec::with_capacity(self.looks.len());
        let mut stack: Vec<u32> = all.filter(|task| !self.is_own(*task)).collect();
        while let Some(task) = stack.pop() {
            order.push(task);
            stack.extend(self.graph.awaits(task).iter().copied().filter(|below| self.is_own(*below)));
        }
        let mut known: HashMap<(u32, Vec<Below>), u32> = HashMap::new();
        for task in order.into_iter().rev() {
            let mut below: Vec<Below> = self.graph.awaits(task).iter().map(|below| self.below(*below)).collect();
            below.sort_unstable();
            let next = known.len() as u32;
            let shape = *known.entry((self.look(task), below)).or_insert(next);
            if let Some(slot) = self.shapes.get_mut(task as usize) {
                *slot = shape;
            }
        }
    }

    /// Exactly one task waits for it, and it is in no circle: it is shown below that task and nowhere else.
    fn is_own(&self, task: u32) -> bool {
        self.graph.awaited_by(task).len() == 1 && self.graph.circle(task).is_none()
    }

    fn below(&self, task: u32) -> Below {
        match self.is_own(task) {
            true => Below::Own(self.shapes.get(task as usize).copied().unwrap_or_default()),
            false => Below::Shared(task),
        }
    }

    /// A number for what the task alone looks like.
    pub(super) fn look(&self, task: u32) -> u32 {
        self.looks.get(task as usize).copied().unwrap_or_default()
    }

    /// Tasks that nobody waits for, grouped by shape, in the order of the report.
    pub(super) fn group_roots(&self, roots: impl Iterator<Item = u32>) -> Vec<Group> {
        let key = |task: u32| match self.graph.circle(task) {
            Some(_) => Below::Shared(task),
            None => Below::Own(self.shapes.get(task as usize).copied().unwrap_or_default()),
        };
        group(roots, key)
    }

    /// What the tasks of a group wait for.
    pub(super) fn below_group(&self, above: &[u32]) -> Vec<Group> {
        group(above.iter().flat_map(|task| self.graph.awaits(*task)).copied(), |task| self.below(task))
    }
}

fn group(tasks: impl Iterator<Item = u32>, key: impl Fn(u32) -> Below) -> Vec<Group> {
    let mut places: HashMap<Below, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for task in tasks {
        let key = key(task);
        let shared = matches!(key, Below::Shared(_));
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { tasks: Vec::new(), shared });
            groups.len() - 1
        });
        // A shared one is itself, however many of the tasks above wait for it.
        match groups.get_mut(place) {
            Some(group) if !shared || group.tasks.is_empty() => group.tasks.push(task),
            _ => {}
        }
    }
    groups
}

fn alike(number: u32, task: &Task) -> Alike {
    Alike {
        state: task.state,
        event_loop: task.event_loop.map(|id| id.0.0),
        frames: task.coroutine_stack.iter().map(|frame| std::sync::Arc::as_ptr(frame).addr()).collect(),
        awaits: task.awaiting.as_ref().map(|awaiting| awaiting.kind),
        asked_to_cancel: task.ignores_cancellation() || task.must_cancel,
        exception: task.exception.as_ref().map(|exception| exception.repr.clone()),
        itself: (!task.problems.is_empty() || task.state == TaskState::Running).then_some(number),
    }
}
