//! Offsets of members, found by following types by name.

use super::units::{Die, Entry, Files, Sections};
use crate::cpython::layout::Offsets;
use gimli::{AttributeValue, constants as dw};
use std::collections::{BTreeMap, BTreeSet};

/// Typedefs and qualifiers between a name and a structure.
const TYPE_CHAIN: usize = 64;
/// Anonymous structures and unions inside each other.
const NESTING: usize = 8;

/// Offsets of members (`"TYPE.member.member"`) and sizes (`"sizeof TYPE"`), where TYPE is a typedef, the tag of a structure
/// or `"struct TAG"`. A name may hold several, separated by `|`. Names that there are not are left out.
///
/// `supplementary` is the file that `.gnu_debugaltlink` names.
pub fn member_offsets(main: Sections<'_>, supplementary: Option<Sections<'_>>, names: &[&str]) -> Offsets {
    let all: Vec<Sections<'_>> = std::iter::once(main).chain(supplementary).collect();
    let names: Vec<(&str, Query<'_>)> =
        names.iter().flat_map(|name| name.split('|')).filter_map(|name| Some((name, Query::parse(name)?))).collect();
    let mut search = Search { files: Files::new(&all), definitions: BTreeMap::new(), tags: BTreeMap::new() };
    let types: BTreeSet<&str> = names.iter().map(|(_, query)| query.type_name).collect();
    search.find_types(types.into_iter().filter(|name| is_mentioned(name, &all)).collect());
    let mut offsets = Offsets::new();
    for (name, query) in names {
        if let Some(offset) = search.answer(&query) {
            offsets.set(name.to_owned(), offset);
        }
    }
    offsets
}

/// Whether the string tables have the type's name, perhaps as the end of a longer one: linkers merge tails. Structures that
/// a version does not have are thus not searched for in all units. Names this long are never kept outside those tables.
fn is_mentioned(type_name: &str, all: &[Sections<'_>]) -> bool {
    let tag = tag_of(type_name).unwrap_or(type_name).as_bytes();
    all.iter().flat_map(|sections| sections.str.split(|byte| *byte == 0)).any(|text| text.ends_with(tag))
}

fn tag_of(type_name: &str) -> Option<&str> {
    type_name.strip_prefix("struct ")
}

struct Query<'n> {
    type_name: &'n str,
    /// Empty for a size.
    path: Vec<&'n str>,
}

impl<'n> Query<'n> {
    fn parse(name: &'n str) -> Option<Query<'n>> {
        if let Some(type_name) = name.strip_prefix("sizeof ") {
            return Some(Query { type_name, path: Vec::new() });
        }
        let (type_name, path) = name.split_once('.')?;
        Some(Query { type_name, path: path.split('.').collect() })
    }
}

struct Search<'a, 'n> {
    files: Files<'a>,
    /// Structures by the name that was asked for.
    definitions: BTreeMap<&'n str, Die>,
    /// Tags to look out for, and the structure once it is found: a typedef may stand where only the tag is declared.
    tags: BTreeMap<Vec<u8>, Option<Die>>,
}

impl<'a, 'n> Search<'a, 'n> {
    /// Finds the structures, in as few units as it takes.
    fn find_types(&mut self, types: Vec<&'n str>) {
        for name in &types {
            self.tags.insert(tag_of(name).unwrap_or(name).as_bytes().to_vec(), None);
        }
        let mut aliases: BTreeMap<&'n str, Vec<u8>> = BTreeMap::new();
        // a second time for tags that only turned up after their definition
        for _ in 0..2 {
            let roots: Vec<Die> = self.files.roots().collect();
            for root in roots {
                if self.settle(&types, &aliases) {
                    return;
                }
                self.scan_unit(root, &types, &mut aliases);
            }
            if self.settle(&types, &aliases) || aliases.is_empty() {
                return;
            }
        }
    }

    /// Takes over what was found by tag; true when nothing is missing.
    fn settle(&mut self, types: &[&'n str], aliases: &BTreeMap<&'n str, Vec<u8>>) -> bool {
        let mut complete = true;
        for name in types {
            let tag = aliases.get(name).map_or(tag_of(name).unwrap_or(name).as_bytes(), Vec::as_slice);
            if let (None, Some(Some(die))) = (self.definitions.get(name), self.tags.get(tag)) {
                self.definitions.insert(name, *die);
            }
            complete &= self.definitions.contains_key(name);
        }
        complete
    }

    fn scan_unit(&mut self, root: Die, types: &[&'n str], aliases: &mut BTreeMap<&'n str, Vec<u8>>) {
        let (files, tags, definitions) = (&self.files, &mut self.tags, &mut self.definitions);
        files.children(root, |die, entry| {
            let is_typedef = entry.tag() == dw::DW_TAG_typedef;
            if !is_typedef && !is_structure(entry) {
                return true;
            }
            let Some(text) = files.text(die, entry, dw::DW_AT_name) else { return true };
            if !is_typedef {
                if let Some(found @ None) = tags.get_mut(text) {
                    *found = complete(files, die, entry);
                }
                return true;
            }
            let Some(name) = types.iter().find(|name| name.as_bytes() == text) else { return true };
            if let (false, Some(target)) = (definitions.contains_key(name), structure(files, die)) {
                match target {
                    Target::Definition(die) => {
                        definitions.insert(name, die);
                    }
                    Target::Declaration(tag) => {
                        tags.entry(tag.to_vec()).or_insert(None);
                        aliases.insert(name, tag.to_vec());
                    }
                }
            }
            true
        });
    }

    fn answer(&self, query: &Query<'_>) -> Option<u32> {
        let mut die = *self.definitions.get(query.type_name)?;
        let Some((last, inner)) = query.path.split_last() else {
            return u32::try_from(self.files.entry(die)?.attr(dw::DW_AT_byte_size)?.udata_value()?).ok();
        };
        let mut offset = 0u32;
        for name in inner {
            let member = self.member(die, name, NESTING)?;
            offset = offset.checked_add(member.offset?)?;
            die = match structure(&self.files, member.die)? {
                Target::Definition(die) => die,
                Target::Declaration(tag) => (*self.tags.get(tag)?)?,
            };
        }
        offset.checked_add(self.member(die, last, NESTING)?.offset?)
    }

    /// The member of this name, in the structure or in anonymous ones inside it.
    fn member(&self, structure_die: Die, name: &str, nesting: usize) -> Option<Member> {
        let mut found = None;
        let mut anonymous = Vec::new();
        self.files.children(structure_die, |die, entry| {
            if entry.tag() != dw::DW_TAG_member {
                return true;
            }
            match self.files.text(die, entry, dw::DW_AT_name) {
                Some(text) if text == name.as_bytes() => found = Some(Member { die, offset: member_offset(entry) }),
                Some(_) => {}
                None => anonymous.push(Member { die, offset: member_offset(entry) }),
            }
            found.is_none()
        });
        let nesting = nesting.checked_sub(1)?;
        found.or_else(|| {
            anonymous.into_iter().find_map(|outer| {
                let Target::Definition(die) = structure(&self.files, outer.die)? else { return None };
                let member = self.member(die, name, nesting)?;
                Some(Member { offset: outer.offset?.checked_add(member.offset?), ..member })
            })
        })
    }
}

struct Member {
    die: Die,
    /// `None` for bit fields, which have no offset in bytes.
    offset: Option<u32>,
}

enum Target<'a> {
    Definition(Die),
    /// Declared here; this is its tag.
    Declaration(&'a [u8]),
}

fn is_structure(entry: &Entry<'_>) -> bool {
    matches!(entry.tag(), dw::DW_TAG_structure_type | dw::DW_TAG_union_type | dw::DW_TAG_class_type)
}

/// The structure that a typedef, a qualified type or a member is of.
fn structure<'a>(files: &Files<'a>, die: Die) -> Option<Target<'a>> {
    let mut die = die;
    for _ in 0..TYPE_CHAIN {
        let entry = files.entry(die)?;
        if is_structure(&entry) {
            let definition = complete(files, die, &entry).map(Target::Definition);
            return definition.or_else(|| Some(Target::Declaration(files.text(die, &entry, dw::DW_AT_name)?)));
        }
        match entry.tag() {
            dw::DW_TAG_typedef
            | dw::DW_TAG_member
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_atomic_type => die = files.reference(die, entry.attr_value(dw::DW_AT_type)?)?,
            _ => return None,
        }
    }
    None
}

/// The definition that a structure's entry is, or refers to in a type unit; `None` when it only declares it.
fn complete<'a>(files: &Files<'a>, die: Die, entry: &Entry<'a>) -> Option<Die> {
    if let Some(signature) = entry.attr_value(dw::DW_AT_signature) {
        let die = files.reference(die, signature)?;
        return is_structure(&files.entry(die)?).then_some(die);
    }
    let declaration = matches!(entry.attr_value(dw::DW_AT_declaration), Some(AttributeValue::Flag(true)));
    (!declaration).then_some(die)
}

fn member_offset(entry: &Entry<'_>) -> Option<u32> {
    if entry.has_attr(dw::DW_AT_data_bit_offset) || entry.has_attr(dw::DW_AT_bit_size) {
        return None;
    }
    let offset = match entry.attr_value(dw::DW_AT_data_member_location) {
        // members of a union have none
        None => 0,
        // the form of DWARF 2: add this much to the structure's address
        Some(AttributeValue::Exprloc(expression)) => {
            let mut bytes = expression.0;
            if gimli::Reader::read_u8(&mut bytes).ok()? != dw::DW_OP_plus_uconst.0 {
                return None;
            }
            gimli::Reader::read_uleb128(&mut bytes).ok()?
        }
        Some(value) => value.udata_value()?,
    };
    u32::try_from(offset).ok()
}
