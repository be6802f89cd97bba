//! What the plugins for product analytics (Segment, Amplitude, PostHog, Mixpanel) have in common: events as an analyst knows them, ids that the
//! destination drops duplicates by, requests within limits, and what becomes of a batch that went out in several of them.
//!
//! **Why an event arrives once.** Each of these services drops an event whose id it has seen (within days). The id here is made of the
//! batch's id and the event's place in it ([`event_id`]), so it is the same whenever the same batch comes again: after a lost answer, a crash
//! of the relay, a replaced plugin. A part of a batch has another id, and its events have other ids with it. So an event may be given back as a part
//! (`partial`) only if it is *known* not to have been taken; where an answer is missing or vague (no answer, 5xx) the whole batch comes again, and
//! what was taken before is dropped at the destination ([`deliver`]).
//!
//! **Who is guilty.** An event that the service names is rejected alone. A request that is refused without a name is the host's to search: it
//! knows which events were believed poison before, and condemns none while the whole destination is sick. Only a request that is too large is
//! halved here, because that says nothing about its events.

mod answer;
mod deliver;
mod event;
mod id;
mod properties;
mod time;

pub use answer::{Answer, by_status, shortened};
pub use deliver::{Limits, Row, body, deliver};
pub use event::{Event, Who, read};
pub use id::event_id;
pub use properties::{Properties, Property};
pub use time::rfc3339;
