//! Scripts that people need on call, ready to be run.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its name.
    pub name: &'static str,
    /// Its Python, for 3.7 and later. The comment at its head says what it does and takes.
    pub source: &'static str,
}

impl Recipe {
    /// What it does and takes, as lines.
    pub fn about(&self) -> impl Iterator<Item = &'static str> {
        self.source.lines().map_while(|line| line.strip_prefix('#')).map(str::trim)
    }
}

/// The recipe of this name.
pub fn recipe(name: &str) -> Option<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.name == name)
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        &[$(Recipe { name: $name, source: include_str!(concat!("recipes/", $name, ".py")) }),*]
    };
}

/// All, in the order in which they are listed.
pub const RECIPES: &[Recipe] = recipes![
    "log-level",
    "faulthandler",
    "tracemalloc",
    "gc-stats",
    "heap-growth",
    "debug-threads",
    "debug-asyncio",
    "attribute",
    "set-flag",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_does() {
        for recipe in RECIPES {
            assert!(recipe.about().count() >= 2, "{}", recipe.name);
            assert!(recipe.source.is_ascii() && recipe.source.len() < 8192, "{}", recipe.name);
        }
        assert!(recipe("gc-stats").is_some() && recipe("gc").is_none());
    }
}
