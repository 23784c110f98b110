//! Attention of the newest tokens of a generating batch to what is remembered on a device.

use super::attention::Attention;
use super::composed::{constant, softmax, unseen};
use super::rope::{RopeTable, turned};
use super::wide;
use super::wide::product as wide_product;
use candle_core::{DType, Device, Result, Tensor};

/// What the rows of a generating batch remember in one layer: keys, turned already, and values.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Those of the prompts, `(prompts, kv_heads, tokens of the longest, head_dim)`; what is behind a shorter one's end is never seen.
    pub prompts: [Tensor; 2],
    /// Those of the rows' own tokens, `(rows, kv_heads, columns, head_dim)`.
    pub own: [Tensor; 2],
}

/// Which rows belong to which prompt, and what each of them sees.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Rows of each prompt; they lie one behind the other.
    pub rows: Vec<usize>,
    /// Tokens of each prompt.
    pub prompts: Vec<usize>,
    /// The first column of its own that each row has filled.
    pub first: Vec<usize>,
    /// Columns that are filled, the newest token's included.
    pub filled: usize,
}

/// Tensors that all layers of one step share.
#[derive(Debug)]
pub struct Reached {
    columns: [usize; 2],
    /// Rows of the prompt that has most.
    widest: usize,
    /// For each prompt and each of as many places as the widest has rows, the row that fills it; and for each row its place. `None` where all have
    /// equally many.
    places: Option<[Tensor; 2]>,
    prompts: usize,
}

impl Reach {
    /// The position of each row's newest token.
    pub fn positions(&self) -> Vec<usize> {
        let prompt = self.prompts.iter().zip(&self.rows);
        let prompt = prompt.flat_map(|(tokens, rows)| std::iter::repeat_n(*tokens, *rows));
        prompt.zip(&self.first).map(|(tokens, first)| tokens + self.filled - 1 - first).collect()
    }

    /// What all layers share, on `device`.
    pub fn place(&self, longest: usize, device: &Device) -> Result<Reached> {
        let widest = self.rows.iter().copied().max().unwrap_or(0);
        let places = match self.rows.iter().all(|rows| *rows == widest) {
            true => None,
            false => {
                let (mut filled, mut place) = (Vec::new(), Vec::new());
                let mut row = 0u32;
                for (prompt, rows) in self.rows.iter().enumerate() {
                    for at in 0..widest {
                        // a place that nobody has repeats the last row, and is left out again
                        filled.push(row + at.min(rows.saturating_sub(1)) as u32);
                        if at < *rows {
                            place.push((prompt * widest + at) as u32);
                        }
                    }
                    row += *rows as u32;
                }
                Some([
                    constant(&filled, filled.len(), device)?,
                    constant(&place, place.len(), device)?,
                ])
            }
        };
        let columns = [longest, self.filled];
        Ok(Reached { columns, widest, places, prompts: self.rows.len() })
    }

    /// What each row does not see, `(rows, 1, columns of the prompts and its own)`, if it sees `window` tokens.
    pub fn mask(
        &self,
        longest: usize,
        window: Option<usize>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let prompt = self.prompts.iter().zip(&self.rows);
        let prompt = prompt.flat_map(|(tokens, rows)| std::iter::repeat_n(*tokens, *rows));
        let positions = self.positions();
        let mut bounds: [Vec<u32>; 4] = Default::default();
        for ((tokens, first), position) in prompt.zip(&self.first).zip(positions) {
            let start = window.map_or(0, |window| (position + 1).saturating_sub(window));
            bounds[0].push(start.min(tokens) as u32);
            bounds[1].push(tokens as u32);
            bounds[2].push((first + start.saturating_sub(tokens)) as u32);
            bounds[3].push(self.filled as u32);
        }
        let of_prompt = unseen(&bounds[0], &bounds[1], longest, dtype, device)?;
        let of_own = unseen(&bounds[2], &bounds[3], self.filled, dtype, device)?;
        Tensor::cat(&[of_prompt, of_own], 1)?.unsqueeze(1)
    }
}

impl Reached {
    /// `(rows, …)` as `(prompts, widest, …)`.
    fn spread(&self, x: &Tensor) -> Result<Tensor> {
        let x = match &self.places {
            None => x.clone(),
            Some([filled, _]) => x.contiguous()?.index_select(filled, 0)?,
        };
        let shape = [&[self.prompts, self.widest], &x.dims()[1..]].concat();
        x.reshape(shape)
    }

    /// `(prompts, widest, …)` as `(rows, …)`.
    fn gathered(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.reshape([&[self.prompts * self.widest], &x.dims()[2..]].concat())?;
        match &self.places {
            None => Ok(x),
            Some([_, place]) => x.index_select(place, 0),
        }
    }
}

/// `x (rows, heads · head_dim)` turned, each row by its own position, `(rows, heads, head_dim)`; see [`angles`].
pub fn turned_at(x: &Tensor, heads: usize, angles: &[Tensor; 2]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    turned(&x.reshape((1, rows, heads, width / heads))?, angles, 1.0)?.squeeze(0)
}

/// Cosines and sines at `positions`, for [`turned_at`].
pub fn angles(
    table: &RopeTable,
    positions: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<[Tensor; 2]> {
    let at: Vec<u32> = positions.iter().map(|position| *position as u32).collect();
    let at = constant(&at, at.len(), device)?;
    let [cos, sin] = table.placed(device, wide(dtype))?;
    let of = |table: Tensor| table.index_select(&at, 0)?.unsqueeze(0)?.unsqueeze(2);
    Ok([of(cos)?, of(sin)?])
}

/// Attention of the newest token of each row, `q (rows, heads, head_dim)` turned already, to its prompt and to its own tokens, that token included;
/// no gradients. Each prompt is read once for all its rows. The result is `(rows, heads · head_dim)`.
pub fn remembered_attention(
    q: &Tensor,
    memory: &Remembered,
    shape: &Attention,
    reached: &Reached,
    mask: &Tensor,
) -> Result<Tensor> {
    let Attention { heads, kv_heads, head_dim: d, scale, .. } = *shape;
    let (group, rows, dtype) = (heads / kv_heads, q.dim(0)?, q.dtype());
    let [longest, filled] = reached.columns;
    let (prompts, widest) = (reached.prompts, reached.widest);
    // (rows, heads, n) to (prompts · kv_heads, widest · group, n) and back
    let by_prompt = |x: &Tensor| -> Result<Tensor> {
        let n = x.dim(2)?;
        let x = reached.spread(x)?.reshape((prompts, widest, kv_heads, group * n))?;
        x.transpose(1, 2)?.contiguous()?.reshape((prompts * kv_heads, widest * group, n))
    };
    let by_row = |x: &Tensor| -> Result<Tensor> {
        let n = x.dim(2)?;
        let x = x.reshape((prompts, kv_heads, widest, group * n))?.transpose(1, 2)?.contiguous()?;
        reached.gathered(&x.reshape((prompts, widest, heads, n))?)
    };
    let of_prompts = |x: &Tensor| x.reshape((prompts * kv_heads, longest, d));
    let [keys, values] = &memory.prompts;
    let [own_keys, own_values] = [&memory.own[0], &memory.own[1]].map(|x| x.narrow(2, 0, filled));
    let of_prompt = by_row(&wide_product(&by_prompt(q)?, &of_prompts(keys)?.t()?)?)?;
    let q = q.reshape((rows, kv_heads, group, d))?;
    let of_own = wide_product(&q, &own_keys?.transpose(2, 3)?)?.reshape((rows, heads, filled))?;
    let scores = (Tensor::cat(&[of_prompt, of_own], 2)? * scale)?;
    let scores = match shape.softcap {
        None => scores,
        Some(cap) => ((scores / cap)?.tanh()? * cap)?,
    };
    let weights = softmax(&scores.broadcast_add(mask)?)?.to_dtype(dtype)?;
    let of_prompt = weights.narrow(2, 0, longest)?.contiguous()?;
    let of_prompt = by_row(&wide_product(&by_prompt(&of_prompt)?, &of_prompts(values)?)?)?;
    let of_own = weights.narrow(2, longest, filled)?.contiguous()?;
    let of_own = of_own.reshape((rows, kv_heads, group, filled))?;
    let of_own = wide_product(&of_own, &own_values?)?.reshape((rows, heads, d))?;
    (of_prompt + of_own)?.to_dtype(dtype)?.reshape((rows, heads * d))
}
