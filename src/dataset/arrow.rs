//! Arrow and parquet: columns become rows of JSON values.
//!
//! Arrays are read one level below polars' frames, because frames lack the narrow types (`attention_mask` is a list of 8-bit
//! integers) unless each is switched on at a cost of minutes in every build. Integers keep every digit, decimals and times become
//! text, bytes become text where they are UTF-8.
//!
//! A trap: a file that was cut off is refused, and so is one whose content contradicts itself; but where a length within a packed file
//! (parquet, or Arrow with compression) was changed, the decoders may ask for more memory than there is, which ends the program.

use crate::store::hex;
use flate2::read::MultiGzDecoder;
use polars_arrow::array::{
    Array, BinaryArray, BinaryViewArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray,
    FixedSizeListArray, ListArray, MapArray, PrimitiveArray, StructArray, Utf8Array, Utf8ViewArray,
    get_value_display,
};
use polars_arrow::datatypes::{ArrowDataType, TimeUnit};
use polars_arrow::io::ipc::read::{
    FileReader, StreamReader, StreamState, read_file_metadata, read_stream_metadata,
};
use polars_arrow::match_integer_type;
use polars_arrow::types::NativeType;
use polars_buffer::Buffer;
use polars_parquet::read::{
    BasicDecompressor, PageReader, column_iter_to_arrays, infer_schema, read_metadata,
};
use serde_json::{Map, Value};
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows, or what is wrong with the file.
pub(super) type Rows = Result<Vec<Map<String, Value>>, String>;

/// The rows of an Arrow file or stream, or of a parquet file, told apart by their first bytes; `None` if it is neither.
pub(super) fn rows(bytes: &[u8]) -> Option<Rows> {
    let (what, read): (_, fn(Vec<u8>) -> Rows) = match bytes {
        [b'P', b'A', b'R', b'1', ..] => ("parquet file", parquet),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => ("Arrow file", file),
        [0xff, 0xff, 0xff, 0xff, ..] => ("Arrow stream", stream),
        _ => return None,
    };
    let bytes = bytes.to_vec();
    // The decoders below trust lengths that stand in the file, and stop the program when a damaged one leads them astray.
    let rows = catch_unwind(AssertUnwindSafe(|| read(bytes)))
        .unwrap_or_else(|_| Err("its content contradicts itself".to_string()));
    Some(rows.map_err(|error| format!("is not a whole {what} ({error}); copy or save it again")))
}

/// What gzip packed, in one or several parts.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).map_err(|error| {
        format!("is not a whole gzip file ({error}); copy or download it again")
    })?;
    Ok(unpacked)
}

fn stream(bytes: Vec<u8>) -> Rows {
    let mut bytes = Cursor::new(bytes);
    let metadata = read_stream_metadata(&mut bytes).map_err(text)?;
    let names: Vec<String> = metadata.schema.iter_names().map(|n| n.to_string()).collect();
    let mut rows = Vec::new();
    for state in StreamReader::new(bytes, metadata, None) {
        match state.map_err(text)? {
            StreamState::Some(batch) => push(&names, batch.arrays(), &mut rows)?,
            StreamState::Waiting => break,
        }
    }
    Ok(rows)
}

fn file(bytes: Vec<u8>) -> Rows {
    let mut bytes = Cursor::new(bytes);
    let metadata = read_file_metadata(&mut bytes).map_err(text)?;
    let names: Vec<String> = metadata.schema.iter_names().map(|n| n.to_string()).collect();
    let mut rows = Vec::new();
    for batch in FileReader::new(bytes, metadata, None, None) {
        push(&names, batch.map_err(text)?.arrays(), &mut rows)?;
    }
    Ok(rows)
}

fn parquet(bytes: Vec<u8>) -> Rows {
    let buffer = Buffer::from(bytes);
    let metadata = read_metadata(&mut Cursor::new(buffer.as_slice())).map_err(text)?;
    let schema = infer_schema(&metadata).map_err(text)?;
    let names: Vec<String> = schema.iter_names().map(|name| name.to_string()).collect();
    let mut rows = Vec::new();
    for group in &metadata.row_groups {
        let mut columns = Vec::new();
        for field in schema.iter_values() {
            let chunks = group
                .columns_under_root_iter(&field.name)
                .ok_or_else(|| format!("the column {} is missing in a part", field.name))?;
            let mut pages = Vec::new();
            let mut types = Vec::new();
            for chunk in chunks {
                let range = chunk.byte_range();
                let (start, end) = (range.start as usize, range.end as usize);
                if start > end || end > buffer.len() {
                    return Err(format!("the column {} lies outside of it", field.name));
                }
                let bytes = Cursor::new(buffer.clone().sliced(start..end));
                let reader = PageReader::new(bytes, chunk, vec![], usize::MAX);
                pages.push(BasicDecompressor::new(reader, vec![]));
                types.push(&chunk.descriptor().descriptor.primitive_type);
            }
            let (parts, _) =
                column_iter_to_arrays(pages, types, field.clone(), None).map_err(text)?;
            columns.push(parts);
        }
        // A column of a row group comes in parts, and not every column in the same ones.
        let mut group_rows = vec![Map::new(); group.num_rows()];
        for (name, parts) in names.iter().zip(&columns) {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            if length != group_rows.len() {
                let rows = group_rows.len();
                return Err(format!("the column {name} has {length} of {rows} values"));
            }
            let cells = parts
                .iter()
                .flat_map(|part| (0..part.len()).map(move |at| value(part.as_ref(), at)));
            for (row, cell) in group_rows.iter_mut().zip(cells) {
                row.insert(name.clone(), cell?);
            }
        }
        rows.append(&mut group_rows);
    }
    Ok(rows)
}

/// Appends the rows of arrays of one length.
fn push(
    names: &[String],
    arrays: &[Box<dyn Array>],
    rows: &mut Vec<Map<String, Value>>,
) -> Result<(), String> {
    let length = arrays.first().map_or(0, |array| array.len());
    for at in 0..length {
        let cells = names.iter().zip(arrays);
        rows.push(
            cells
                .map(|(name, array)| Ok((name.clone(), value(array.as_ref(), at)?)))
                .collect::<Result<_, String>>()?,
        );
    }
    Ok(())
}

/// One cell.
fn value(array: &dyn Array, at: usize) -> Result<Value, String> {
    use ArrowDataType as D;
    if array.is_null(at) {
        return Ok(Value::Null);
    }
    let dtype = array.dtype();
    let text = match dtype.to_storage() {
        D::Utf8 => Some(of::<Utf8Array<i32>>(array)?.value(at)),
        D::LargeUtf8 => Some(of::<Utf8Array<i64>>(array)?.value(at)),
        D::Utf8View => Some(of::<Utf8ViewArray>(array)?.value(at)),
        _ => None,
    };
    if let Some(text) = text {
        return match dtype {
            // `datasets` keeps values of mixed types as JSON text
            D::Extension(extension) if extension.name.as_str() == "arrow.json" => {
                serde_json::from_str(text).map_err(|error| format!("no JSON in a cell: {error}"))
            }
            _ => Ok(Value::from(text)),
        };
    }
    Ok(match dtype.to_storage() {
        D::Null => Value::Null,
        D::Boolean => Value::from(of::<BooleanArray>(array)?.value(at)),
        D::Int8 => Value::from(number::<i8>(array, at)?),
        D::Int16 => Value::from(number::<i16>(array, at)?),
        D::Int32 => Value::from(number::<i32>(array, at)?),
        D::Int64 => Value::from(number::<i64>(array, at)?),
        D::UInt8 => Value::from(number::<u8>(array, at)?),
        D::UInt16 => Value::from(number::<u16>(array, at)?),
        D::UInt32 => Value::from(number::<u32>(array, at)?),
        D::UInt64 => Value::from(number::<u64>(array, at)?),
        // JSON has no NaN and no infinity; pandas writes NaN for what is missing, but infinity is a value
        D::Float32 | D::Float64 if infinite(array, at)? => Value::from(display(array, at)),
        D::Float32 => Value::from(number::<f32>(array, at)?),
        D::Float64 => Value::from(number::<f64>(array, at)?),
        D::Float16 => Value::from(display(array, at).parse::<f64>().ok()),
        D::Decimal32(_, scale) => decimal(number::<i32>(array, at)?.into(), *scale),
        D::Decimal64(_, scale) => decimal(number::<i64>(array, at)?.into(), *scale),
        D::Decimal(_, scale) => decimal(number::<i128>(array, at)?, *scale),
        D::Binary => bytes(of::<BinaryArray<i32>>(array)?.value(at)),
        D::LargeBinary => bytes(of::<BinaryArray<i64>>(array)?.value(at)),
        D::BinaryView => bytes(of::<BinaryViewArray>(array)?.value(at)),
        D::FixedSizeBinary(_) => bytes(of::<FixedSizeBinaryArray>(array)?.value(at)),
        D::List(_) => list(of::<ListArray<i32>>(array)?.value(at).as_ref())?,
        D::LargeList(_) => list(of::<ListArray<i64>>(array)?.value(at).as_ref())?,
        D::FixedSizeList(..) => list(of::<FixedSizeListArray>(array)?.value(at).as_ref())?,
        D::Map(..) => list(of::<MapArray>(array)?.value(at).as_ref())?,
        D::Struct(fields) => {
            let values = of::<StructArray>(array)?.values();
            let mut cells = Map::new();
            for (field, values) in fields.iter().zip(values) {
                cells.insert(field.name.to_string(), value(values.as_ref(), at)?);
            }
            Value::Object(cells)
        }
        D::Dictionary(key, ..) => match_integer_type!(key, |$T| {
            let array = of::<DictionaryArray<$T>>(array)?;
            value(array.values().as_ref(), array.key_value(at))?
        }),
        D::Date32 => {
            let days = number::<i32>(array, at)?;
            time(array, at, i64::from(days).saturating_mul(86_400))
        }
        D::Date64 => time(array, at, number::<i64>(array, at)? / 1_000),
        D::Timestamp(unit, _) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            time(array, at, number::<i64>(array, at)? / per_second)
        }
        D::Time32(_) => Value::from(number::<i32>(array, at)?),
        D::Time64(_) | D::Duration(_) => Value::from(number::<i64>(array, at)?),
        other => return Err(format!("values of the type {other:?} cannot be read here")),
    })
}

fn infinite(array: &dyn Array, at: usize) -> Result<bool, String> {
    Ok(match array.dtype().to_storage() {
        ArrowDataType::Float32 => number::<f32>(array, at)?.is_infinite(),
        _ => number::<f64>(array, at)?.is_infinite(),
    })
}

fn list(items: &dyn Array) -> Result<Value, String> {
    (0..items.len()).map(|at| value(items, at)).collect()
}

/// The array as the type that its schema announces.
fn of<T: 'static>(array: &dyn Array) -> Result<&T, String> {
    let wrong = || format!("an array is not of its type {:?}", array.dtype());
    array.as_any().downcast_ref().ok_or_else(wrong)
}

fn number<T: NativeType>(array: &dyn Array, at: usize) -> Result<T, String> {
    Ok(of::<PrimitiveArray<T>>(array)?.value(at))
}

fn display(array: &dyn Array, at: usize) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = get_value_display(array, "null")(&mut text, at);
    text
}

/// A date or a time as text; a number where the calendar ends.
fn time(array: &dyn Array, at: usize, seconds: i64) -> Value {
    const YEARS_200_000: i64 = 200_000 * 366 * 86_400;
    if seconds.abs() < YEARS_200_000 {
        Value::from(display(array, at))
    } else {
        Value::from(seconds)
    }
}

/// `digits` × 10^-`scale`, every digit kept.
fn decimal(digits: i128, scale: usize) -> Value {
    let sign = if digits < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, part) = text.split_at(text.len() - scale);
    if part.is_empty() {
        Value::from(format!("{sign}{whole}"))
    } else {
        Value::from(format!("{sign}{whole}.{part}"))
    }
}

/// Text, or the bytes in hex where they are none.
fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(hex(bytes)),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn a_decimal_keeps_its_digits() {
        let check = |digits, scale, text: &str| assert_eq!(decimal(digits, scale), text);
        check(505, 2, "5.05");
        check(-5, 2, "-0.05");
        check(12, 0, "12");
        check(0, 3, "0.000");
        check(i128::MAX, 1, "17014118346046923173168730371588410572.7");
    }
}
