//! Kinds of numbers and blocks.

use crate::error::Result;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// As llama.cpp writes it.
    pub name: &'static str,
    /// Numbers in a block.
    pub block: usize,
    /// Bytes of a block.
    pub bytes: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain(DType),
    Blocks(GgmlDType),
}

const fn plain(name: &'static str, bytes: usize, dtype: DType) -> Kind {
    Kind { name, block: 1, bytes, form: Form::Plain(dtype) }
}

const fn blocks(name: &'static str, block: usize, bytes: usize, dtype: GgmlDType) -> Kind {
    Kind { name, block, bytes, form: Form::Blocks(dtype) }
}

/// Those that are read, by their number in the format.
const KNOWN: [(u32, Kind); 11] = [
    (0, plain("F32", 4, DType::F32)),
    (1, plain("F16", 2, DType::F16)),
    (30, plain("BF16", 2, DType::BF16)),
    (2, blocks("Q4_0", 32, 18, GgmlDType::Q4_0)),
    (3, blocks("Q4_1", 32, 20, GgmlDType::Q4_1)),
    (6, blocks("Q5_0", 32, 22, GgmlDType::Q5_0)),
    (7, blocks("Q5_1", 32, 24, GgmlDType::Q5_1)),
    (8, blocks("Q8_0", 32, 34, GgmlDType::Q8_0)),
    (12, blocks("Q4_K", 256, 144, GgmlDType::Q4K)),
    (13, blocks("Q5_K", 256, 176, GgmlDType::Q5K)),
    (14, blocks("Q6_K", 256, 210, GgmlDType::Q6K)),
];

/// Names of the others, by number (`GGMLQuantizationType` of the package gguf 0.19).
const OTHERS: [(u32, &str); 26] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl Kind {
    /// The kind with that number, or what it is called.
    pub fn numbered(number: u32) -> std::result::Result<Self, String> {
        if let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == number) {
            return Ok(*kind);
        }
        let name = OTHERS.iter().find(|(known, _)| *known == number);
        Err(name.map_or_else(|| format!("kind {number}"), |(_, name)| (*name).to_string()))
    }

    /// Names of those that are read.
    pub fn known() -> String {
        KNOWN.map(|(_, kind)| kind.name).join(", ")
    }

    /// The numbers in f32. `bytes` have the length that the shape asks for.
    pub fn unpack(self, bytes: Vec<u8>, shape: &[usize]) -> Result<Tensor> {
        Ok(match self.form {
            Form::Plain(dtype) => {
                Tensor::from_raw_buffer(&bytes, dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?
            }
            Form::Blocks(dtype) => {
                let storage = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, dtype)?;
                QTensor::new(storage, shape)?.dequantize(&Device::Cpu)?
            }
        })
    }
}
