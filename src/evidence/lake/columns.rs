//! The tables of a lake, and their rows as Parquet and back.
//!
//! The tables are those of `evidence.sqlite` but for three things: identities are texts, a comparison names its epoch
//! by its hash instead of its row, and whose data folder a row came from stands in `origin`.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, cast::AsArray, types,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use rusqlite::types::Value;
use thiserror::Error;
use uuid::Uuid;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Whole,
    Real,
    Flag,
    /// Milliseconds since 1970, UTC.
    Instant,
    /// 16 bytes here, their usual text there.
    Id,
}

/// A column of a lake's table.
pub(crate) type Column = (&'static str, Kind);

/// A table of the lake.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its folder.
    pub(crate) name: &'static str,
    /// Its columns, in order.
    pub(crate) columns: &'static [Column],
}

use Kind::{Flag, Id, Instant, Real, Text, Whole};

pub(crate) const COMPARISON: Table = Table {
    name: "comparison",
    columns: &[
        ("id", Id),
        ("origin", Text),
        ("epoch", Text),
        ("at", Instant),
        ("gateway", Text),
        ("direction", Text),
        ("stratum", Text),
        ("sample_rate", Real),
        ("subject", Text),
        ("request", Text),
        ("class", Text),
        ("control_outcome", Text),
        ("control_status", Whole),
        ("control_first_byte", Whole),
        ("control_total", Whole),
        ("control_bytes", Whole),
        ("control_media_type", Text),
        ("control_body_hash", Text),
        ("control_cost_usd", Real),
        ("candidate_outcome", Text),
        ("candidate_status", Whole),
        ("candidate_first_byte", Whole),
        ("candidate_total", Whole),
        ("candidate_bytes", Whole),
        ("candidate_media_type", Text),
        ("candidate_body_hash", Text),
        ("candidate_cost_usd", Real),
    ],
};

pub(crate) const DIFFERENCE: Table = Table {
    name: "difference",
    columns: &[
        ("comparison", Id),
        ("place", Whole),
        ("path", Text),
        ("kind", Text),
        ("control", Text),
        ("candidate", Text),
        ("severity", Text),
        ("rule", Text),
    ],
};

pub(crate) const IMAGE: Table = Table {
    name: "image",
    columns: &[
        ("comparison", Id),
        ("place", Whole),
        ("arm", Text),
        ("position", Whole),
        ("delivery", Text),
        ("sniffed", Text),
        ("declared", Text),
        ("width", Whole),
        ("height", Whole),
        ("color", Text),
        ("bytes", Whole),
        ("decodes", Flag),
        ("entropy", Real),
        ("luma_deviation", Real),
        ("dominant", Real),
        ("hash", Text),
        ("alpha", Flag),
        ("orientation", Text),
        ("correlation", Real),
        ("difference_hash", Whole),
    ],
};

pub(crate) const ALARM: Table = Table { name: "alarm", columns: &[("comparison", Id), ("kind", Text)] };

pub(crate) const EPOCH: Table = Table {
    name: "epoch",
    columns: &[
        ("origin", Text),
        ("route", Text),
        ("name", Text),
        ("hash", Text),
        ("number", Whole),
        ("basis", Text),
        ("states", Text),
        ("started_at", Instant),
        ("active_at", Instant),
        ("requests", Whole),
    ],
};

pub(crate) const UNRECORDED: Table = Table {
    name: "unrecorded",
    columns: &[("origin", Text), ("route", Text), ("epoch", Text), ("class", Text), ("n", Whole)],
};

pub(crate) const RULE_USE: Table = Table {
    name: "rule_use",
    columns: &[("origin", Text), ("route", Text), ("epoch", Text), ("rule", Text), ("pairs", Whole)],
};

pub(crate) const ACKNOWLEDGEMENT: Table = Table {
    name: "acknowledgement",
    columns: &[("comparison", Id), ("kind", Text), ("at", Instant), ("who", Text), ("reason", Text)],
};

pub(crate) const LABEL: Table =
    Table { name: "label", columns: &[("comparison", Id), ("label", Text), ("at", Instant), ("who", Text)] };

/// What is written once, with a partition for each day and route.
pub(crate) const STREAMS: [&Table; 4] = [&COMPARISON, &DIFFERENCE, &IMAGE, &ALARM];

/// A file that is no table of a lake.
#[derive(Debug, Error)]
pub enum ColumnError {
    /// It is not Parquet.
    #[error("not Parquet as figueira writes it: {0}")]
    Parquet(#[from] ParquetError),
    /// Its columns do not fit together.
    #[error("not Parquet as figueira writes it: {0}")]
    Arrow(#[from] ArrowError),
    /// A column is missing, or of another type.
    #[error("column {0} is missing or of another type")]
    Column(&'static str),
}

/// Rows of one table, column by column.
#[derive(Debug)]
pub(crate) struct Rows {
    table: &'static Table,
    columns: Vec<Vec<Value>>,
}

impl Rows {
    pub(crate) fn of(table: &'static Table) -> Self {
        Self { table, columns: table.columns.iter().map(|_| Vec::new()).collect() }
    }

    /// Takes a row of `SQLite`'s whose first columns are those of the table.
    pub(crate) fn take(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        for (place, (column, (_, kind))) in self.columns.iter_mut().zip(self.table.columns).enumerate() {
            let value = match (kind, row.get(place)?) {
                (Id, Value::Blob(bytes)) => {
                    Uuid::from_slice(&bytes).map_or(Value::Null, |id| Value::Text(id.to_string()))
                }
                (_, value) => value,
            };
            column.push(value);
        }
        Ok(())
    }

    /// As one Parquet file.
    pub(crate) fn to_parquet(&self) -> Result<Bytes, ColumnError> {
        let field = |(name, kind): &Column| Field::new(*name, data_type(*kind), true);
        let schema = Arc::new(Schema::new(self.table.columns.iter().map(field).collect::<Vec<_>>()));
        let arrays =
            self.table.columns.iter().zip(&self.columns).map(|((_, kind), values)| array(*kind, values));
        let batch = RecordBatch::try_new(schema.clone(), arrays.collect())?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(file.into())
    }
}

/// Shows `visit` each row of a Parquet file of `table`, in the order of its columns. Columns that it does not know are
/// passed over.
pub(crate) fn rows<E: From<ColumnError>>(
    table: &'static Table,
    file: Bytes,
    mut visit: impl FnMut(&[Value]) -> Result<(), E>,
) -> Result<(), E> {
    let opened = || ParquetRecordBatchReaderBuilder::try_new(file)?.build();
    for batch in opened().map_err(ColumnError::from)? {
        let batch = batch.map_err(ColumnError::from)?;
        let find = |(name, kind): &Column| {
            let column = batch.column_by_name(name).filter(|column| *column.data_type() == data_type(*kind));
            column.ok_or(ColumnError::Column(name)).map(|column| (column, *kind))
        };
        let columns = table.columns.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let mut row = Vec::with_capacity(columns.len());
        for place in 0..batch.num_rows() {
            row.clear();
            row.extend(columns.iter().map(|(column, kind)| value(column, *kind, place)));
            visit(&row)?;
        }
    }
    Ok(())
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Text | Id => DataType::Utf8,
        Whole => DataType::Int64,
        Real => DataType::Float64,
        Flag => DataType::Boolean,
        Instant => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
    }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn array(kind: Kind, values: &[Value]) -> ArrayRef {
    let whole = |value: &Value| match value {
        Value::Integer(whole) => Some(*whole),
        _ => None,
    };
    let real = |value: &Value| match value {
        Value::Real(real) => Some(*real),
        _ => None,
    };
    match kind {
        Text | Id => Arc::new(values.iter().map(text).collect::<StringArray>()),
        Whole => Arc::new(values.iter().map(whole).collect::<Int64Array>()),
        Real => Arc::new(values.iter().map(real).collect::<Float64Array>()),
        Flag => {
            Arc::new(values.iter().map(|value| whole(value).map(|flag| flag != 0)).collect::<BooleanArray>())
        }
        Instant => {
            let instants: TimestampMillisecondArray = values.iter().map(whole).collect();
            Arc::new(instants.with_timezone("UTC"))
        }
    }
}

fn value(column: &ArrayRef, kind: Kind, place: usize) -> Value {
    if column.is_null(place) {
        return Value::Null;
    }
    match kind {
        Text => Value::Text(column.as_string::<i32>().value(place).to_owned()),
        Id => Uuid::parse_str(column.as_string::<i32>().value(place))
            .map_or(Value::Null, |id| Value::Blob(id.as_bytes().to_vec())),
        Whole => Value::Integer(column.as_primitive::<types::Int64Type>().value(place)),
        Instant => Value::Integer(column.as_primitive::<types::TimestampMillisecondType>().value(place)),
        Real => Value::Real(column.as_primitive::<types::Float64Type>().value(place)),
        Flag => Value::Integer(column.as_boolean().value(place).into()),
    }
}
