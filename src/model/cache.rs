use crate::ops::CachedRow;
use std::sync::Arc;

/// What one row of a generating batch remembers: keys and values of its prompt and of its answer so far.
///
/// Rows stand alone, each with its own length, so a finished one simply leaves and a new one joins. After
/// [`Cache::share`], clones share the prompt's memory: the many answers of one prompt compute and keep it once.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    prompt: Arc<Vec<LayerMemory>>,
    answer: Vec<LayerMemory>,
    /// Ids seen so far, for devices on which memory is not kept and everything is computed again.
    pub(super) ids: Vec<u32>,
}

/// Keys (already turned) and values of one layer, each `(tokens, kv_heads · head_dim)`.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerMemory {
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

impl Cache {
    pub(super) fn new(layers: usize) -> Self {
        Self { answer: vec![LayerMemory::default(); layers], ..Self::default() }
    }

    /// Tokens seen so far.
    pub fn length(&self) -> usize {
        self.ids.len()
    }

    /// Makes everything remembered so far shared by all clones made from now on.
    pub fn share(&mut self) {
        assert!(self.prompt.is_empty(), "a cache is shared once, after its prompt");
        let layers = self.answer.len();
        self.prompt =
            Arc::new(std::mem::replace(&mut self.answer, vec![LayerMemory::default(); layers]));
    }

    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerMemory {
        &mut self.answer[layer]
    }

    pub(super) fn row(&self, layer: usize) -> CachedRow<'_> {
        let (keys, values) = match self.prompt.get(layer) {
            Some(memory) => (memory.keys.as_slice(), memory.values.as_slice()),
            None => (&[][..], &[][..]),
        };
        let own = &self.answer[layer];
        CachedRow { keys: [keys, &own.keys], values: [values, &own.values] }
    }
}
