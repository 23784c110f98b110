"""Makes small data sets in the forms that Python users have: python3 make_data.py.

Needs datasets 5, pyarrow. Writes data/, of which tests/datasets.rs reads every file. `expected.json` is what pyarrow and
`datasets` read back from the same files.
"""
import datetime
import decimal
import json
import pathlib
import shutil

import pyarrow
import pyarrow.feather
import pyarrow.parquet
from datasets import ClassLabel, Dataset, DatasetDict, Features, Json, List, Value

here = pathlib.Path(__file__).parent / "data"
shutil.rmtree(here, ignore_errors=True)
here.mkdir()


def chat(n):
    """Rows of two shapes: what one lacks is null in the other."""
    rows = []
    for i in range(n):
        turns = [{"role": "user", "content": f"What is {i} + 1?"}, {"role": "assistant", "content": f"{i + 1}"}]
        if i % 2:
            turns.insert(0, {"role": "system", "content": "Be brief.\r\nAnd kind: ü, 漢, 🙂."})
        rows.append({"task_id": 9007199254740993 + i, "messages": turns, "mask": [i % 2, None, 1], "level": i % 3,
                     "kwargs": [{}, {"words": i}, None] if i else [], "note": None if i % 2 else "", "any": [{"x": i}, [i, "two"]][i % 2]})
    return rows


features = Features({
    "task_id": Value("int64"),
    "messages": List({"role": Value("string"), "content": Value("string")}),
    "mask": List(Value("int8")),
    "level": ClassLabel(names=["easy", "middle", "hard"]),
    "kwargs": List({"words": Value("int32")}),
    "note": Value("string"),
    "any": Json(),
})
train = Dataset.from_list(chat(7), features=features)
test = Dataset.from_list(chat(3), features=features)
saved = DatasetDict({"train": train, "test": test})
saved.save_to_disk(here / "saved", num_shards={"train": 3, "test": 1})

sharegpt = Dataset.from_list([
    {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "good day"}], "id": f"talk-{i}"}
    for i in range(4)])
shards = here / "shards" / "data"
shards.mkdir(parents=True)
for k in range(2):
    sharegpt.shard(2, k, contiguous=True).to_parquet(shards / f"train-0000{k}-of-00002.parquet")
sharegpt.select([0]).to_parquet(shards / "test-00000-of-00001.parquet")

types = pyarrow.table({
    "text": pyarrow.array(["a", None, "c"]),
    "large": pyarrow.array(["a", None, "ü"], pyarrow.large_string()),
    "again": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
    "i8": pyarrow.array([-128, None, 127], pyarrow.int8()),
    "u16": pyarrow.array([0, None, 65535], pyarrow.uint16()),
    "i64": pyarrow.array([-(2**63), None, 2**63 - 1], pyarrow.int64()),
    "u64": pyarrow.array([0, None, 2**64 - 1], pyarrow.uint64()),
    "f32": pyarrow.array([0.5, None, float("nan")], pyarrow.float32()),
    "f64": pyarrow.array([0.1, None, 1e300]),
    "bool": pyarrow.array([True, None, False]),
    "bytes": pyarrow.array([b"text", None, b"\xff\x00"]),
    "cost": pyarrow.array([decimal.Decimal("5.05"), None, decimal.Decimal("-0.50")], pyarrow.decimal128(9, 2)),
    "day": pyarrow.array([datetime.date(2024, 2, 29), None, datetime.date(1969, 12, 31)]),
    "time": pyarrow.array([datetime.datetime(2024, 2, 29, 12, 30, 1), None, datetime.datetime(1970, 1, 1)], pyarrow.timestamp("us")),
    "nothing": pyarrow.nulls(3),
    "pair": pyarrow.array([[1, 2], None, [3, None]], pyarrow.list_(pyarrow.int32(), 2)),
    "deep": pyarrow.array([[{"a": [[1], None], "b": None}], None, [None, {"a": [], "b": {"c": "d"}}]],
                          pyarrow.list_(pyarrow.struct([("a", pyarrow.list_(pyarrow.list_(pyarrow.int64()))),
                                                        ("b", pyarrow.struct([("c", pyarrow.string())]))]))),
})
with pyarrow.ipc.new_stream(here / "types.arrow", types.schema) as out:
    for batch in types.to_batches(max_chunksize=2):
        out.write_batch(batch)
pyarrow.feather.write_feather(types, str(here / "types.feather"), compression="lz4", chunksize=2)
pyarrow.parquet.write_table(types, here / "types.parquet", compression="zstd", row_group_size=2)


def plain(value):
    """As JSON can say it."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return "text" if value == b"text" else value.hex()
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, (decimal.Decimal, datetime.date, datetime.datetime)):
        return str(value)
    return value


(here / "expected.json").write_text(json.dumps({
    "train": plain(DatasetDict.load_from_disk(here / "saved")["train"].to_list()),
    "test": plain(test.to_list()),
    "shards": plain(sharegpt.to_list()),
    "types": plain(types.to_pylist()),
}, ensure_ascii=False, indent=1) + "\n")
