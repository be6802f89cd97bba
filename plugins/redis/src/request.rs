//! A batch as commands.

use flagpost_sdk::{Event, secrets};

use crate::config::{PASSWORD, Settings};

/// A command: its words.
pub type Command = Vec<String>;

/// Adds the entries behind each other, unless the marker says that it did.
const SCRIPT: &str = "\
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local ttl, max, at = ARGV[1], ARGV[2], 3
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  if max == '0' then
    redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + size))
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', max, '*', unpack(ARGV, at + 1, at + size))
  end
  at = at + size + 1
end
redis.call('SET', KEYS[2], '1', 'EX', ttl)
return 1";

/// What a connection begins with; the answer says whether one may go on.
pub fn hello(settings: &Settings) -> Vec<Command> {
    let mut commands = Vec::new();
    if let Some(password) = secrets::get(PASSWORD).or_else(|| settings.password.clone()) {
        let mut auth = vec!["AUTH".to_owned()];
        auth.extend(settings.username.clone());
        auth.push(password);
        commands.push(auth);
    } else {
        commands.push(vec!["PING".to_owned()]);
    }
    if settings.database != 0 {
        commands.push(vec!["SELECT".to_owned(), settings.database.to_string()]);
    }
    commands
}

/// The stream's key. All events of a call are of one kind.
pub fn stream(settings: &Settings, events: &[Event]) -> String {
    let kind = if matches!(events.first(), Some(Event::Tracking(_))) { "tracking" } else { "feature" };
    settings.stream.replace("{kind}", kind)
}

/// The fields of each event's entry: names and values in turn.
pub fn entries(events: &[Event], batch: &str) -> Vec<Command> {
    let fields = |(index, event): (usize, &Event)| {
        let id = format!("{batch}-{index}");
        let date;
        let pairs: Vec<(&str, &str)> = match event {
            Event::Feature(e) => {
                date = e.creation_date.to_string();
                let default = if e.default { "true" } else { "false" };
                let mut pairs = vec![
                    ("id", id.as_str()),
                    ("kind", &e.kind),
                    ("contextKind", &e.context_kind),
                    ("userKey", &e.user_key),
                    ("creationDate", &date),
                    ("key", &e.key),
                    ("variation", &e.variation),
                    ("value", &e.value_json),
                    ("default", default),
                    ("version", &e.version),
                    ("source", &e.source),
                ];
                pairs.extend(e.metadata_json.as_deref().map(|metadata| ("metadata", metadata)));
                pairs
            }
            Event::Tracking(e) => {
                date = e.creation_date.to_string();
                vec![
                    ("id", id.as_str()),
                    ("kind", &e.kind),
                    ("contextKind", &e.context_kind),
                    ("userKey", &e.user_key),
                    ("creationDate", &date),
                    ("key", &e.key),
                    ("evaluationContext", &e.evaluation_context_json),
                    ("trackingEventDetails", &e.tracking_event_details_json),
                ]
            }
        };
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
    };
    events.iter().enumerate().map(fields).collect()
}

/// One entry by itself.
pub fn add(settings: &Settings, stream: &str, entry: &Command) -> Command {
    let mut command = vec!["XADD".to_owned(), stream.to_owned()];
    if settings.max_length > 0 {
        command.extend(["MAXLEN".to_owned(), "~".to_owned(), settings.max_length.to_string()]);
    }
    command.push("*".to_owned());
    command.extend_from_slice(entry);
    command
}

/// All entries by the script.
pub fn script(settings: &Settings, stream: &str, entries: &[Command], batch: &str) -> Command {
    // In a cluster both keys must be in one place: what stands in braces decides it.
    let marker = if stream.contains('{') { format!("{stream}:flagpost:{batch}") } else { format!("{{{stream}}}:flagpost:{batch}") };
    let mut command: Command = ["EVAL", SCRIPT, "2", stream, &marker].map(str::to_owned).into();
    command.extend([settings.remember_seconds.to_string(), settings.max_length.to_string()]);
    for entry in entries {
        command.push(entry.len().to_string());
        command.extend_from_slice(entry);
    }
    command
}
