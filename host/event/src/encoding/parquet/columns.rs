//! The rows of a row group, column by column.

use bytes::Bytes;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;

use super::{map, part};
use crate::{Event, EventKind, Json};

/// Rows that are not written yet.
pub(super) struct Columns {
    columns: Vec<Column>,
    rows: usize,
    /// Of the lines they came from.
    bytes: usize,
}

enum Column {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Boolean(Vec<bool>),
    Map(Map),
}

/// Two columns of a file. The levels say which names and values make one row's map: 0 and 0 for a map without members, else a
/// definition of 1, and a repetition of 0 for the first.
#[derive(Default)]
struct Map {
    names: Vec<ByteArray>,
    values: Vec<ByteArray>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

impl Columns {
    /// No rows, of events of that kind.
    pub(super) fn new(kind: EventKind) -> Self {
        let text = || Column::Text(Vec::new());
        let map = || Column::Map(Map::default());
        let mut columns = vec![text(), text(), text(), Column::Integer(Vec::new()), text()];
        match kind {
            EventKind::Feature => columns.extend([text(), text(), Column::Boolean(Vec::new()), text(), text(), map()]),
            EventKind::Tracking => columns.extend([map(), map()]),
        }
        Columns { columns, rows: 0, bytes: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event, which was read from `line`.
    pub(super) fn push(&mut self, event: &Event<'_>, line: &Bytes) {
        self.rows += 1;
        self.bytes += line.len();
        let mut columns = self.columns.iter_mut();
        let mut put = |cell: Cell<'_>| {
            if let Some(column) = columns.next() {
                column.push(cell, line);
            }
        };
        match event {
            Event::Feature(event) => {
                put(Cell::Text(&event.kind));
                put(Cell::Text(&event.context_kind));
                put(Cell::Text(&event.user_key));
                put(Cell::Integer(event.creation_date));
                put(Cell::Text(&event.key));
                put(Cell::Text(&event.variation));
                put(Cell::Text(event.value.as_str()));
                put(Cell::Boolean(event.default));
                put(Cell::Text(&event.version));
                put(Cell::Text(&event.source));
                put(Cell::Map(event.metadata.as_ref()));
            }
            Event::Tracking(event) => {
                put(Cell::Text(&event.kind));
                put(Cell::Text(&event.context_kind));
                put(Cell::Text(&event.user_key));
                put(Cell::Integer(event.creation_date));
                put(Cell::Text(&event.key));
                put(Cell::Map(Some(&event.evaluation_context)));
                put(Cell::Map(Some(&event.tracking_event_details)));
            }
        }
    }

    /// Writes the rows as a row group and forgets them; how many there were.
    pub(super) fn write<W: std::io::Write + Send>(&mut self, writer: &mut SerializedFileWriter<W>) -> Result<usize> {
        let mut group = writer.next_row_group()?;
        for column in &mut self.columns {
            let parts: usize = if matches!(column, Column::Map(_)) { 2 } else { 1 };
            for index in 0..parts {
                let mut target =
                    group.next_column()?.ok_or_else(|| ParquetError::General("more columns than the schema has".to_owned()))?;
                column.write(index, target.untyped())?;
                target.close()?;
            }
            column.clear();
        }
        group.close()?;
        self.bytes = 0;
        Ok(std::mem::take(&mut self.rows))
    }
}

/// What a row has in a column.
enum Cell<'e> {
    Text(&'e str),
    Integer(i64),
    Boolean(bool),
    Map(Option<&'e Json<'e>>),
}

impl Column {
    fn push(&mut self, cell: Cell<'_>, line: &Bytes) {
        match (self, cell) {
            (Column::Text(column), Cell::Text(text)) => column.push(part(line, text).into()),
            (Column::Integer(column), Cell::Integer(value)) => column.push(value),
            (Column::Boolean(column), Cell::Boolean(value)) => column.push(value),
            (Column::Map(column), Cell::Map(json)) => column.push(json, line),
            // The order of columns is that of `new`.
            _ => debug_assert!(false, "a cell of another column"),
        }
    }

    fn write(&self, index: usize, target: &mut ColumnWriter<'_>) -> Result<()> {
        match (self, target) {
            (Column::Text(column), ColumnWriter::ByteArrayColumnWriter(target)) => target.write_batch(column, None, None).map(drop),
            (Column::Integer(column), ColumnWriter::Int64ColumnWriter(target)) => target.write_batch(column, None, None).map(drop),
            (Column::Boolean(column), ColumnWriter::BoolColumnWriter(target)) => target.write_batch(column, None, None).map(drop),
            (Column::Map(map), ColumnWriter::ByteArrayColumnWriter(target)) => {
                let values = if index == 0 { &map.names } else { &map.values };
                target.write_batch(values, Some(&map.definitions), Some(&map.repetitions)).map(drop)
            }
            _ => Err(ParquetError::General("a column of another type than the schema's".to_owned())),
        }
    }

    fn clear(&mut self) {
        match self {
            Column::Text(column) => column.clear(),
            Column::Integer(column) => column.clear(),
            Column::Boolean(column) => column.clear(),
            Column::Map(map) => *map = Map::default(),
        }
    }
}

impl Map {
    fn push(&mut self, json: Option<&Json<'_>>, line: &Bytes) {
        let before = self.names.len();
        if let Some(json) = json {
            // Stored text is sound JSON.
            let _sound = map::members(json, &mut |name, value| {
                self.repetitions.push(i16::from(self.names.len() > before));
                self.definitions.push(1);
                self.names.push(part(line, &name).into());
                self.values.push(part(line, &value).into());
            });
        }
        if self.names.len() == before {
            self.repetitions.push(0);
            self.definitions.push(0);
        }
    }
}
