//! What scenarios say while they run. Beside others it is kept until the scenario's end, so that the lines of
//! two scenarios never mix.
//!
//! State: what the calling thread has said and kept.

use std::cell::RefCell;
use std::fmt;

thread_local! {
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Prints a line of a scenario's: see [`crate::note!`].
pub fn note(text: fmt::Arguments<'_>) {
    let mut line = text.to_string();
    if !line.ends_with('\n') {
        line.push('\n');
    }
    KEPT.with_borrow_mut(|kept| match kept {
        Some(kept) => kept.push_str(&line),
        None => print!("{line}"),
    });
}

/// Prints a line that belongs to the present scenario, with the arguments of `println!`; what ends with
/// a line's end gets no other.
#[macro_export]
macro_rules! note {
    ($($arguments:tt)*) => { $crate::bench::note(format_args!($($arguments)*)) };
}

/// From now on this thread keeps what it says.
pub(super) fn keep() {
    KEPT.set(Some(String::new()));
}

/// Panics of scenarios that keep what they say are kept too.
pub(super) fn keep_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if KEPT.with_borrow(Option::is_some) { note!("    {panic}") } else { print(panic) }
    }));
}

/// What this thread has kept, since the last call.
pub(super) fn kept() -> String {
    KEPT.with_borrow_mut(|kept| kept.as_mut().map(std::mem::take)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_whole_lines_and_is_taken_once() {
        std::thread::spawn(|| {
            keep();
            note!("    {}", "one");
            note!("two\n");
            assert_eq!(kept(), "    one\ntwo\n");
            assert_eq!(kept(), "");
        })
        .join()
        .unwrap();
    }
}
