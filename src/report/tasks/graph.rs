//! Who waits for whom, and the circles in that. Tasks are numbers here: their places in the report.
//!
//! Everything is linear in tasks and edges, and nothing recurses: chains of 100,000 tasks exist.

use super::model::{ObjectId, Task};
use crate::base::AddrMap;

/// Edges between tasks, each once.
#[derive(Debug, Default)]
pub(in crate::report) struct Graph {
    /// For each task those that it waits for, in the order in which it names them.
    pub(in crate::report) awaits: Vec<Vec<u32>>,
    /// For each task those that wait for it, in the order of the report.
    pub(in crate::report) awaited_by: Vec<Vec<u32>>,
    /// For each task the number of its strongly connected component, if that is a circle.
    pub(in crate::report) circle_of: Vec<Option<u32>>,
    /// The members of each circle.
    pub(in crate::report) circles: Vec<Vec<u32>>,
}

impl Graph {
    /// Out of what tasks say of themselves and of each other.
    pub(in crate::report) fn of(tasks: &[Task]) -> Graph {
        let places: AddrMap<u32> = tasks.iter().enumerate().map(|(place, task)| (task.id.0, place as u32)).collect();
        let place = |id: &ObjectId| places.get(&id.0).copied();
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for (number, task) in tasks.iter().enumerate() {
            let number = number as u32;
            let awaited = task.awaiting.iter().flat_map(|awaiting| awaiting.tasks.iter().chain(&awaiting.id));
            edges.extend(awaited.filter_map(place).map(|other| (number, other)));
            edges.extend(task.awaited_by.iter().filter_map(place).map(|other| (other, number)));
        }
        Graph::of_edges(tasks.len(), edges)
    }

    /// Out of pairs: the first waits for the second.
    pub(super) fn of_edges(count: usize, mut edges: Vec<(u32, u32)>) -> Graph {
        let mut seen = std::collections::HashSet::with_capacity(edges.len());
        edges.retain(|edge| seen.insert(*edge));
        let mut graph =
            Graph { awaits: vec![Vec::new(); count], awaited_by: vec![Vec::new(); count], ..Graph::default() };
        for (from, to) in edges {
            if let Some(awaits) = graph.awaits.get_mut(from as usize) {
                awaits.push(to);
            }
            if let Some(by) = graph.awaited_by.get_mut(to as usize) {
                by.push(from);
            }
        }
        graph.awaited_by.iter_mut().for_each(|by| by.sort_unstable());
        graph.find_circles();
        graph
    }

    pub(in crate::report) fn awaits(&self, task: u32) -> &[u32] {
        self.awaits.get(task as usize).map_or(&[], Vec::as_slice)
    }

    pub(in crate::report) fn awaited_by(&self, task: u32) -> &[u32] {
        self.awaited_by.get(task as usize).map_or(&[], Vec::as_slice)
    }

    pub(in crate::report) fn circle(&self, task: u32) -> Option<u32> {
        self.circle_of.get(task as usize).copied().flatten()
    }

    /// Components with more than one task, or a task that waits for itself: Tarjan's algorithm with a stack of its own.
    fn find_circles(&mut self) {
        let mut search = Search::new(self.awaits.len());
        for root in 0..self.awaits.len() as u32 {
            search.from(root, &self.awaits);
        }
        self.circle_of = vec![None; self.awaits.len()];
        for component in search.components {
            let to_itself = |task: &u32| self.awaits(*task).contains(task);
            if component.len() == 1 && !component.iter().any(to_itself) {
                continue;
            }
            for task in &component {
                if let Some(slot) = self.circle_of.get_mut(*task as usize) {
                    *slot = Some(self.circles.len() as u32);
                }
            }
            self.circles.push(component);
        }
    }

    /// A way round through each circle: each task waits for the next, the last for the first. It need not touch all members.
    pub(in crate::report) fn ways_round(&self) -> Vec<Vec<u32>> {
        self.circles.iter().map(|members| self.way_round(members)).collect()
    }

    fn way_round(&self, members: &[u32]) -> Vec<u32> {
        let Some(first) = members.iter().min() else { return Vec::new() };
        let circle = self.circle(*first);
        // Within a component every task leads on, so a walk comes back to where it was.
        let mut places = std::collections::HashMap::new();
        let mut way = Vec::new();
        let mut task = *first;
        loop {
            if let Some(start) = places.insert(task, way.len()) {
                return way.split_off(start);
            }
            way.push(task);
            let inside = |next: &&u32| self.circle(**next) == circle;
            match self.awaits(task).iter().find(inside) {
                Some(next) => task = *next,
                None => return way,
            }
        }
    }
}

impl Search {
    fn new(count: usize) -> Search {
        Search { numbers: vec![UNSEEN; count], low: vec![0; count], open: Vec::new(), ..Search::default() }
    }
}

const UNSEEN: u32 = u32::MAX;
/// The number of a task whose component is complete.
const CLOSED: u32 = u32::MAX - 1;

/// The search for strongly connected components.
#[derive(Default)]
struct Search {
    /// In which order tasks were found.
    numbers: Vec<u32>,
    /// The lowest number that is reached from a task.
    low: Vec<u32>,
    /// Tasks whose component is not complete.
    open: Vec<u32>,
    next: u32,
    components: Vec<Vec<u32>>,
}

#[allow(clippy::indexing_slicing, reason = "all vectors are as long as there are tasks, and edges lead to tasks only")]
impl Search {
    fn from(&mut self, root: u32, awaits: &[Vec<u32>]) {
        if self.numbers[root as usize] != UNSEEN {
            return;
        }
        // Tasks on the way here, with how many of their edges were followed.
        let mut path: Vec<(u32, usize)> = Vec::new();
        self.enter(root, &mut path);
        while let Some((task, followed)) = path.last_mut() {
            let (task, edge) = (*task as usize, *followed);
            *followed += 1;
            match awaits[task].get(edge) {
                Some(next) if self.numbers[*next as usize] == UNSEEN => self.enter(*next, &mut path),
                Some(next) => match self.numbers[*next as usize] {
                    CLOSED => {}
                    number => self.low[task] = self.low[task].min(number),
                },
                None => {
                    path.pop();
                    if let Some((before, _)) = path.last() {
                        self.low[*before as usize] = self.low[*before as usize].min(self.low[task]);
                    }
                    if self.low[task] == self.numbers[task] {
                        self.close(task as u32);
                    }
                }
            }
        }
    }

    fn enter(&mut self, task: u32, path: &mut Vec<(u32, usize)>) {
        self.numbers[task as usize] = self.next;
        self.low[task as usize] = self.next;
        self.next += 1;
        self.open.push(task);
        path.push((task, 0));
    }

    fn close(&mut self, task: u32) {
        let start = self.open.iter().rposition(|open| *open == task).unwrap_or(0);
        let mut component = self.open.split_off(start);
        component.iter().for_each(|member| self.numbers[*member as usize] = CLOSED);
        component.sort_unstable();
        self.components.push(component);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn circles(count: usize, edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let mut circles = Graph::of_edges(count, edges.to_vec()).circles;
        circles.sort();
        circles
    }

    #[test]
    fn circles_are_found_and_chains_are_none() {
        assert_eq!(circles(4, &[(0, 1), (1, 2), (2, 3)]), [[0u32; 0]; 0]);
        assert_eq!(circles(4, &[(0, 1), (1, 2), (2, 0), (3, 0)]), [vec![0, 1, 2]]);
        assert_eq!(circles(4, &[(3, 3), (0, 1), (1, 0)]), [vec![0, 1], vec![3]]);
    }

    #[test]
    fn a_long_chain_is_no_deep_recursion_and_a_long_circle_is_one() {
        const LONG: u32 = 300_000;
        let mut edges: Vec<(u32, u32)> = (1..LONG).map(|n| (n - 1, n)).collect();
        assert!(circles(LONG as usize, &edges).is_empty());
        edges.push((LONG - 1, 0));
        let graph = Graph::of_edges(LONG as usize, edges);
        assert_eq!(graph.circles.len(), 1);
        assert_eq!(graph.ways_round()[0], (0..LONG).collect::<Vec<_>>());
    }

    #[test]
    fn an_edge_that_both_sides_tell_is_one() {
        let graph = Graph::of_edges(2, vec![(0, 1), (0, 1)]);
        assert_eq!((graph.awaits(0), graph.awaited_by(1)), (&[1u32][..], &[0u32][..]));
    }

    proptest! {
        /// Two tasks are in one circle exactly when each reaches the other.
        #[test]
        fn circles_are_what_reaches_itself(edges in proptest::collection::vec((0u32..12, 0u32..12), 0..40)) {
            let graph = Graph::of_edges(12, edges.clone());
            let mut reach = [[false; 12]; 12];
            for (from, to) in &edges {
                reach[*from as usize][*to as usize] = true;
            }
            for via in 0..12 {
                for from in 0..12 {
                    for to in 0..12 {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            for a in 0..12u32 {
                prop_assert_eq!(graph.circle(a).is_some(), reach[a as usize][a as usize]);
                for b in 0..12u32 {
                    let together = reach[a as usize][b as usize] && reach[b as usize][a as usize];
                    prop_assert_eq!(graph.circle(a).is_some() && graph.circle(a) == graph.circle(b), together);
                }
            }
            for way in graph.ways_round() {
                let ends = way.iter().zip(way.iter().cycle().skip(1));
                for (from, to) in ends {
                    prop_assert!(graph.awaits(*from).contains(to));
                }
            }
        }
    }
}
