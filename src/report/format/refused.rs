//! For people, what is known of a process whose memory is closed.

use super::text::{state_word, write_process};
use crate::base::display_safe;
use crate::report::refused::RefusedReport;
use std::io::{self, Write};

/// Writes it.
pub fn write_refused(out: &mut dyn Write, report: &RefusedReport) -> io::Result<()> {
    write_process(out, &report.process)?;
    writeln!(out, "Its memory may not be read, so there are no Python stacks. What /proc says of its threads:\n")?;
    for thread in &report.os_threads {
        let (name, state) = (display_safe(&thread.os_name), state_word(&thread.os_state));
        writeln!(out, "Thread {} [{name}], {state}, {:.2} s of CPU time", thread.tid, thread.cpu_seconds)?;
    }
    Ok(())
}
