//! Generators, coroutines and asynchronous generators.

use super::Writer;
use crate::base::Addr;
use crate::target::ReadError;

/// `f_lasti` of a frame that has not begun, and `f_state` of one that is executed (3.10, `Include/internal/pycore_frame.h`).
const NOT_BEGUN: i32 = -1;
const EXECUTING: i8 = 0;

impl Writer<'_, '_> {
    /// `<generator object name at 0x…, suspended>`, with the state that `inspect.getgeneratorstate` gives, in small letters.
    pub(super) fn generator(&mut self, object: Addr, kind: &str) -> Result<(), ReadError> {
        let field = self.layout().generator.qualname.ok_or(ReadError::Invalid("layout"))?;
        let name = self.objects().field(object, field)?;
        let state = self.generator_state(object)?;
        self.push(&format!("<{kind} object "));
        self.bare(name)?;
        self.push(&format!(" at {object}, {state}>"));
        Ok(())
    }

    fn generator_state(&self, object: Addr) -> Result<&'static str, ReadError> {
        let (objects, layout) = (self.objects(), &self.layout().generator);
        if let Some(field) = layout.frame_state {
            let states = objects.quirks.generator_states;
            return Ok(match objects.field(object, field)? {
                state if state == states.created => "created",
                state if state == states.executing => "running",
                state if (states.ended..=states.last).contains(&state) => "closed",
                _ => "suspended",
            });
        }
        let invalid = ReadError::Invalid("layout");
        let frame_layout = &self.layout().frame_object;
        let Some(frame) = objects.field(object, layout.frame.ok_or(invalid)?)?.non_null() else {
            return Ok("closed");
        };
        let running = match (layout.running, frame_layout.state) {
            (Some(field), _) => objects.field(object, field)? != 0,
            (None, Some(field)) => objects.field(frame, field)? == EXECUTING,
            (None, None) => return Err(invalid),
        };
        Ok(match objects.field(frame, frame_layout.lasti.ok_or(invalid)?)? {
            _ if running => "running",
            NOT_BEGUN => "created",
            _ => "suspended",
        })
    }
}
