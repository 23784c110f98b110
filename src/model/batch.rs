/// Sequences laid end to end, and which of their tokens are predicted with which weight.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(super) ids: Vec<u32>,
    pub(super) starts: Vec<usize>,
    /// Positions whose next token is predicted.
    pub(super) rows: Vec<u32>,
    pub(super) targets: Vec<u32>,
    pub(super) weights: Vec<f32>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { starts: vec![0], ..Self::default() }
    }

    /// Adds a sequence; token `t` is predicted from those before it with weight `weights[t]`, 0 means not at all.
    ///
    /// The first token has no context, so its weight does not count. One weight for each token.
    pub fn push(&mut self, ids: &[u32], weights: &[f32]) {
        assert_eq!(ids.len(), weights.len(), "one weight for each token");
        let start = self.ids.len();
        for at in 1..ids.len() {
            if weights[at] != 0.0 {
                self.rows.push((start + at - 1) as u32);
                self.targets.push(ids[at]);
                self.weights.push(weights[at]);
            }
        }
        self.ids.extend(ids);
        self.starts.push(self.ids.len());
    }

    /// Predicts `target` behind token `at` of the whole batch, whatever stands there: of texts that differ in the last token only, the rest is
    /// read once.
    pub fn predict(&mut self, at: usize, target: u32) {
        assert!(at < self.ids.len(), "a token of the batch");
        self.rows.push(at as u32);
        self.targets.push(target);
        self.weights.push(1.0);
    }

    /// All tokens, prompts included.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens that are predicted.
    pub fn predicted(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn longest(&self) -> usize {
        self.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }
}
