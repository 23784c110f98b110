use super::block::Pass;
use super::config::ModelConfig;
use super::device::Backend;
use crate::error::Result;
use crate::ops::{self, CachedRow, Reach, Remembered, RopeTable};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// What a generating batch remembers: keys and values of each row's prompt and of its answer so far.
///
/// Rows stand alone, each with its own length: finished ones leave by [`Cache::keep`], and [`Decoder::prefill`](super::Decoder::prefill) lets new ones in
/// behind those that are there. The many answers of one prompt compute and keep it once.
#[derive(Debug)]
pub struct Cache {
    /// Tokens that each row has seen.
    lengths: Vec<usize>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// For the fused operators: every row has memory of its own.
    Host(Vec<HostRow>),
    /// For the composed ones: one tensor for all rows.
    Device(DeviceMemory),
}

/// One row's memory.
#[derive(Debug)]
struct HostRow {
    prompt: Arc<Vec<LayerMemory>>,
    answer: Vec<LayerMemory>,
}

/// Keys (already turned) and values of one layer, each `(tokens, kv_heads · head_dim)`.
#[derive(Debug, Clone, Default)]
struct LayerMemory {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl LayerMemory {
    /// Adds tokens `k` and `v`, of which the first stands at `position`; keys are turned.
    fn extend(
        &mut self,
        k: &[f32],
        v: &[f32],
        position: usize,
        table: &RopeTable,
        width: [usize; 2],
    ) {
        let [kv_heads, head_dim] = width;
        self.values.extend_from_slice(v);
        let grown = self.keys.len();
        self.keys.resize(grown + k.len(), 0.0);
        let turned = self.keys[grown..].chunks_exact_mut(head_dim);
        for (at, (key, turned)) in k.chunks_exact(head_dim).zip(turned).enumerate() {
            table.turn(position + at / kv_heads, key, turned, 1.0);
        }
    }
}

/// Columns by which the memory of the answers grows.
const COLUMNS: usize = 64;

/// Memory of all rows on a device.
///
/// A row's own tokens stand in the columns of one tensor: the newest token of every row goes to the same column, and a row that joined later has
/// nothing in those before. So a step writes one column, whatever the rows' lengths are.
#[derive(Debug)]
struct DeviceMemory {
    reach: Reach,
    /// Tokens of the longest prompt.
    longest: usize,
    /// Columns that the tensors of the answers have.
    columns: usize,
    layers: Vec<Remembered>,
    shape: [usize; 2],
    device: Device,
    dtype: DType,
}

impl Cache {
    /// Of no rows.
    pub(super) fn new(config: &ModelConfig, backend: &Backend) -> Self {
        let form = match backend.is_host() {
            true => Form::Host(Vec::new()),
            false => Form::Device(DeviceMemory {
                reach: Reach {
                    rows: Vec::new(),
                    prompts: Vec::new(),
                    first: Vec::new(),
                    filled: 0,
                },
                longest: 0,
                columns: 0,
                layers: Vec::new(),
                shape: [config.num_key_value_heads, config.head_dim],
                device: backend.device.clone(),
                dtype: backend.dtype,
            }),
        };
        Self { lengths: Vec::new(), form }
    }

    /// Tokens that each row has seen so far.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Only the rows `kept` stay; their order must be that in which they are.
    pub fn keep(&mut self, kept: &[usize]) -> Result<()> {
        assert!(kept.is_sorted_by(|a, b| a < b), "rows keep their order");
        if kept.len() == self.lengths.len() {
            return Ok(());
        }
        self.lengths = kept.iter().map(|row| self.lengths[*row]).collect();
        match &mut self.form {
            Form::Host(rows) => {
                let mut row = 0;
                rows.retain(|_| {
                    row += 1;
                    kept.binary_search(&(row - 1)).is_ok()
                });
                Ok(())
            }
            Form::Device(memory) => Ok(memory.keep(kept)?),
        }
    }

    /// Lets in `samples` rows for each prompt of a pass, whose keys before rotation and values `of_layers` has.
    pub(super) fn join(
        &mut self,
        pass: &Pass,
        of_layers: &[[Tensor; 2]],
        shape: [usize; 2],
        samples: usize,
    ) -> Result<()> {
        let starts = &pass.sequences.starts;
        match &mut self.form {
            Form::Host(rows) => {
                let width = shape[0] * shape[1];
                let mut prompts = vec![Vec::with_capacity(of_layers.len()); starts.len() - 1];
                for (layer, [k, v]) in of_layers.iter().enumerate() {
                    let [k, v] = [k, v].map(|x| x.flatten_all()?.to_vec1::<f32>());
                    let (k, v) = (k?, v?);
                    for (prompt, range) in prompts.iter_mut().zip(starts.windows(2)) {
                        let range = range[0] * width..range[1] * width;
                        let mut memory = LayerMemory::default();
                        memory.extend(&k[range.clone()], &v[range], 0, pass.table(layer), shape);
                        prompt.push(memory);
                    }
                }
                for prompt in prompts {
                    let prompt = Arc::new(prompt);
                    rows.extend((0..samples).map(|_| HostRow {
                        prompt: prompt.clone(),
                        answer: vec![LayerMemory::default(); of_layers.len()],
                    }));
                }
            }
            Form::Device(memory) => memory.join(pass, of_layers, samples)?,
        }
        for range in starts.windows(2) {
            self.lengths.extend(std::iter::repeat_n(range[1] - range[0], samples));
        }
        Ok(())
    }

    /// What all layers of one more token share.
    pub(super) fn step(&mut self, pass: &Pass) -> Result<Newest> {
        match &mut self.form {
            Form::Host(_) => Ok(Newest::Host),
            Form::Device(memory) => Ok(memory.step(pass)?),
        }
    }

    /// Remembers the newest token of each row in `layer` and attends from it.
    pub(super) fn attend(
        &mut self,
        newest: &Newest,
        pass: &Pass,
        layer: usize,
        [q, k, v]: &[Tensor; 3],
    ) -> Result<Tensor> {
        let (shape, table) = (pass.attention(layer), pass.table(layer));
        match (&mut self.form, newest) {
            (Form::Host(rows), _) => {
                let width = [shape.kv_heads, shape.head_dim];
                let each = width[0] * width[1];
                let [k, v] = [k, v].map(|x| x.flatten_all()?.to_vec1::<f32>());
                let (k, v) = (k?, v?);
                let pairs = k.chunks_exact(each).zip(v.chunks_exact(each));
                for ((row, position), (k, v)) in rows.iter_mut().zip(&self.lengths).zip(pairs) {
                    row.answer[layer].extend(k, v, *position, table, width);
                }
                let rows: Vec<CachedRow<'_>> = rows.iter().map(|row| row.layer(layer)).collect();
                let values = q.flatten_all()?.to_vec1::<f32>()?;
                let heads = ops::cached_attention(&values, &rows, shape, table);
                Ok(Tensor::from_vec(heads, q.shape(), q.device())?)
            }
            (Form::Device(memory), Newest::Device(newest)) => {
                Ok(memory.attend(newest, pass, layer, [q, k, v])?)
            }
            (Form::Device(_), Newest::Host) => unreachable!("a step of another memory"),
        }
    }

    /// Ends the step.
    pub(super) fn stepped(&mut self) {
        self.lengths.iter_mut().for_each(|length| *length += 1);
    }
}

impl HostRow {
    fn layer(&self, layer: usize) -> CachedRow<'_> {
        let (prompt, own) = (&self.prompt[layer], &self.answer[layer]);
        CachedRow { keys: [&prompt.keys, &own.keys], values: [&prompt.values, &own.values] }
    }
}

/// What all layers of one more token share.
pub(super) enum Newest {
    Host,
    Device(NewestOnDevice),
}

/// Constants of a step; those of a layer that rotates, or sees, as another does are that one's.
pub(super) struct NewestOnDevice {
    reached: ops::Reached,
    angles: Vec<(Arc<RopeTable>, [Tensor; 2])>,
    masks: Vec<(Option<usize>, Tensor)>,
}

/// `x` with zeros behind it along `dim`, up to `size`.
fn padded(x: &Tensor, dim: usize, size: usize) -> candle_core::Result<Tensor> {
    match size - x.dim(dim)? {
        0 => Ok(x.clone()),
        more => x.pad_with_zeros(dim, 0, more),
    }
}

impl DeviceMemory {
    fn rows(&self) -> usize {
        self.reach.first.len()
    }

    fn zeros(&self, shape: [usize; 4]) -> candle_core::Result<Tensor> {
        ops::check_size("the memory of the rows that are decoded together", &shape)?;
        Tensor::zeros(&shape, self.dtype, &self.device)
    }

    fn join(
        &mut self,
        pass: &Pass,
        of_layers: &[[Tensor; 2]],
        samples: usize,
    ) -> candle_core::Result<()> {
        let [kv_heads, d] = self.shape;
        let starts = &pass.sequences.starts;
        let lengths: Vec<usize> = starts.windows(2).map(|range| range[1] - range[0]).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let all = longest.max(self.longest);
        let rows = lengths.len() * samples;
        if rows == 0 {
            return Ok(());
        }
        // each prompt's tokens in a row of their own; behind a shorter one's end its first stands again, and is never seen
        let mut at: Vec<u32> = Vec::with_capacity(lengths.len() * longest);
        for (start, length) in starts.iter().zip(&lengths) {
            at.extend((0..longest).map(|i| (start + if i < *length { i } else { 0 }) as u32));
        }
        let at = ops::constant(&at, at.len(), &self.device)?;
        let positions: Vec<usize> = lengths.iter().flat_map(|length| 0..*length).collect();
        let mut angles: Vec<(Arc<RopeTable>, [Tensor; 2])> = Vec::new();
        let empty = self.layers.is_empty();
        if empty {
            self.columns = COLUMNS;
        }
        for (layer, [k, v]) in of_layers.iter().enumerate() {
            let turned =
                ops::turned_at(k, kv_heads, &self.angles(&mut angles, pass, layer, &positions)?)?;
            let fresh = [&turned, v].map(|x| {
                let x = x.contiguous()?.index_select(&at, 0)?;
                let x = x.reshape((lengths.len(), longest, kv_heads, d))?;
                padded(&x.transpose(1, 2)?.contiguous()?, 2, all)
            });
            let [keys, values] = fresh;
            let fresh = [keys?, values?];
            let own = || self.zeros([rows, kv_heads, self.columns, d]);
            let joined = match empty {
                true => Remembered { prompts: fresh, own: [own()?, own()?] },
                false => {
                    let old = &self.layers[layer];
                    let prompts = |which: usize| {
                        Tensor::cat(&[&padded(&old.prompts[which], 2, all)?, &fresh[which]], 0)
                    };
                    let owns = |which: usize| Tensor::cat(&[&old.own[which], &own()?], 0);
                    Remembered { prompts: [prompts(0)?, prompts(1)?], own: [owns(0)?, owns(1)?] }
                }
            };
            ops::check_size("the memory of the prompts", joined.prompts[0].dims())?;
            match empty {
                true => self.layers.push(joined),
                false => self.layers[layer] = joined,
            }
        }
        self.longest = all;
        self.reach.prompts.extend(&lengths);
        self.reach.rows.extend(lengths.iter().map(|_| samples));
        self.reach.first.extend(std::iter::repeat_n(self.reach.filled, rows));
        Ok(())
    }

    /// The angles of `positions` in `layer`, from those of layers before where they are the same.
    fn angles(
        &self,
        made: &mut Vec<(Arc<RopeTable>, [Tensor; 2])>,
        pass: &Pass,
        layer: usize,
        positions: &[usize],
    ) -> candle_core::Result<[Tensor; 2]> {
        let table = pass.table(layer);
        if let Some((_, found)) = made.iter().find(|(other, _)| Arc::ptr_eq(other, table)) {
            return Ok(found.clone());
        }
        let angles = ops::angles(table, positions, self.dtype, &self.device)?;
        made.push((table.clone(), angles.clone()));
        Ok(angles)
    }

    fn step(&mut self, pass: &Pass) -> candle_core::Result<Newest> {
        if self.reach.filled == self.columns {
            let columns = 2 * self.columns;
            let [kv_heads, d] = self.shape;
            let rows = self.rows();
            for layer in 0..self.layers.len() {
                for which in 0..2 {
                    let grown = self.zeros([rows, kv_heads, columns, d])?;
                    grown.slice_set(&self.layers[layer].own[which], 2, 0)?;
                    self.layers[layer].own[which] = grown;
                }
            }
            self.columns = columns;
        }
        self.reach.filled += 1;
        let positions = self.reach.positions();
        let mut newest = NewestOnDevice {
            reached: self.reach.place(self.longest, &self.device)?,
            angles: Vec::new(),
            masks: Vec::new(),
        };
        let wide = if self.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        for layer in 0..self.layers.len() {
            self.angles(&mut newest.angles, pass, layer, &positions)?;
            let window = pass.attention(layer).window;
            if newest.masks.iter().all(|(other, _)| *other != window) {
                let mask = self.reach.mask(self.longest, window, wide, &self.device)?;
                newest.masks.push((window, mask));
            }
        }
        Ok(Newest::Device(newest))
    }

    fn attend(
        &mut self,
        newest: &NewestOnDevice,
        pass: &Pass,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
    ) -> candle_core::Result<Tensor> {
        let ([kv_heads, d], rows) = (self.shape, self.rows());
        let (shape, table) = (pass.attention(layer), pass.table(layer));
        let angles = newest.angles.iter().find(|(other, _)| Arc::ptr_eq(other, table));
        let mask = newest.masks.iter().find(|(window, _)| *window == shape.window);
        let (Some((_, angles)), Some((_, mask))) = (angles, mask) else {
            candle_core::bail!("layer {layer} is none of this step")
        };
        let memory = &self.layers[layer];
        let keys = ops::turned_at(k, kv_heads, angles)?;
        for (whole, new) in memory.own.iter().zip([&keys, v]) {
            let new = new.contiguous()?.reshape((rows, kv_heads, 1, d))?;
            whole.slice_set(&new, 2, self.reach.filled - 1)?;
        }
        let q = ops::turned_at(q, shape.heads, angles)?;
        ops::remembered_attention(&q, memory, shape, &newest.reached, mask)
    }

    fn keep(&mut self, kept: &[usize]) -> candle_core::Result<()> {
        // rows that each prompt has left, and the prompts that have any
        let (mut rows, mut from) = (Vec::new(), 0);
        for count in &self.reach.rows {
            rows.push(kept.iter().filter(|row| (from..from + count).contains(*row)).count());
            from += count;
        }
        let stay: Vec<usize> = (0..rows.len()).filter(|prompt| rows[*prompt] > 0).collect();
        let pick = |all: &[usize], which: &[usize]| -> Vec<usize> {
            which.iter().map(|at| all[*at]).collect()
        };
        let (prompts, counts) = (pick(&self.reach.prompts, &stay), pick(&rows, &stay));
        let mut first = pick(&self.reach.first, kept);
        if kept.is_empty() {
            self.reach = Reach { rows: counts, prompts, first, filled: 0 };
            (self.longest, self.columns) = (0, 0);
            self.layers.clear();
            return Ok(());
        }
        let longest = prompts.iter().copied().max().unwrap_or(0);
        // columns that nobody who stays has filled
        let over = first.iter().copied().min().unwrap_or(0) / COLUMNS * COLUMNS;
        let over = over.min(self.columns - COLUMNS);
        let at = |which: &[usize]| {
            let which: Vec<u32> = which.iter().map(|at| *at as u32).collect();
            ops::constant(&which, which.len(), &self.device)
        };
        let (of_rows, of_prompts) = (at(kept)?, at(&stay)?);
        let fewer = stay.len() < rows.len();
        for memory in &mut self.layers {
            for own in &mut memory.own {
                let left = own.narrow(2, over, self.columns - over)?.contiguous()?;
                *own = left.index_select(&of_rows, 0)?;
            }
            for prompt in memory.prompts.iter_mut().filter(|_| fewer) {
                let left = prompt.narrow(2, 0, longest)?.contiguous()?;
                *prompt = left.index_select(&of_prompts, 0)?;
            }
        }
        if fewer {
            self.longest = longest;
        }
        self.columns -= over;
        first.iter_mut().for_each(|column| *column -= over);
        self.reach = Reach { rows: counts, prompts, first, filled: self.reach.filled - over };
        Ok(())
    }
}
