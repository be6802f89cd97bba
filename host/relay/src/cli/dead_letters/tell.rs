//! Dead letters, told to people.

use flagpost_event::Zone;

use crate::cli::{complain, say};
use crate::letters::{Changed, Listing, Shown};

pub(super) fn listing(listing: &Listing) {
    if listing.exporters.is_empty() {
        say("no dead letters");
    }
    for summary in &listing.exporters {
        let gone = if summary.gone { ", no longer known" } else { "" };
        let marked = if summary.marked > 0 { format!(", {} to be sent again", summary.marked) } else { String::new() };
        say(format_args!(
            "{}/{} ({}){gone}  {} dead letter{}{marked}",
            summary.flag_set,
            summary.exporter,
            summary.event_type,
            summary.count,
            if summary.count == 1 { "" } else { "s" }
        ));
        say(format_args!("  condemned   {} to {}", time(summary.oldest_unix_millis), time(summary.newest_unix_millis)));
        for reason in &summary.reasons {
            say(format_args!("  {:>9}   {}", reason.count, reason.reason));
        }
        if summary.other_reasons > 0 {
            say(format_args!("  {:>9}   with other reasons", summary.other_reasons));
        }
    }
}

pub(super) fn letter(letter: &Shown) {
    let marked = if letter.marked { ", to be sent again" } else { "" };
    say(format_args!("{}  {}/{} ({}){marked}", letter.id, letter.flag_set, letter.exporter, letter.event_type));
    say(format_args!("  reason      {}", letter.reason));
    say(format_args!("  condemned   {}, first tried {}", time(letter.condemned_unix_millis), time(letter.first_tried_unix_millis)));
    let batch = if letter.batch.is_empty() { "-" } else { &letter.batch };
    say(format_args!("  attempts    {}, event {} of its stream, batch {batch}", letter.attempts, letter.number));
    say(format_args!("  event       {}", letter.event.as_ref().map_or("could not be read", |event| event.get())));
}

pub(super) fn replayed(changed: Changed, running: bool) {
    let when = if running { "by their exporters' workers" } else { "when the relay starts on this store" };
    say(format_args!("{} dead letters are sent again {when}; `flagpost dead-letters list` shows what is left", changed.changed));
    left(changed);
}

pub(super) fn cancelled(changed: Changed) {
    say(format_args!("{} dead letters are not sent again", changed.changed));
    if changed.sending > 0 {
        say(format_args!("{} of them were in the batch under way: an attempt that runs may still deliver them", changed.sending));
    }
}

pub(super) fn dropped(changed: Changed) {
    say(format_args!("{} dead letters dropped", changed.changed));
    left(changed);
}

/// What was chosen and left, and what can be done.
fn left(changed: Changed) {
    let lines = [
        (
            changed.gone,
            "belong to exporters that are no longer known: `export` them and send them to `POST /v1/data/exported`, or drop them",
        ),
        (changed.unreadable, "could not be read when they were condemned: there is nothing to send"),
        (changed.sending, "are in a batch that is being sent again: wait for what becomes of it"),
    ];
    lines.into_iter().filter(|(count, _)| *count > 0).for_each(|(count, why)| complain(format_args!("{count} were left: they {why}")));
}

fn time(unix_millis: u64) -> String {
    Zone::utc().rfc3339((unix_millis / 1000).cast_signed())
}
