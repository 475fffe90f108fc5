//! A source of decisions from the bytes of an input.

/// The bytes that are left. At their end, each decision is the first one.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            None => 0,
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
        }
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Returns a number below this one, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Returns a position in a text of this length, or its end.
    pub fn place(&mut self, length: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % (length + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Takes the lengths of up to six pieces, and splits the rest by them; or into single bytes.
    pub fn pieces(&mut self) -> Vec<&'a [u8]> {
        let count = self.below(8);
        if count == 7 {
            return self.rest().chunks(1).collect();
        }
        let lengths: Vec<_> = (0..count).map(|_| usize::from(self.byte())).collect();
        let mut rest = self.rest();
        let mut pieces = Vec::new();
        for length in lengths {
            let (piece, more) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        pieces
    }
}
