//! [`LittleEndian`]: numbers and texts that are taken from the front of bytes.

/// The bytes that were not taken yet. Each error is the defect, as a part of a sentence.
pub(crate) struct LittleEndian<'a>(pub(crate) &'a [u8]);

impl<'a> LittleEndian<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, &'static str> {
        let bytes = self.take(4)?.try_into().map_err(|_| "it is cut short")?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, &'static str> {
        let bytes = self.take(8)?.try_into().map_err(|_| "it is cut short")?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Bytes with their length before them, in 32 bits.
    pub(crate) fn long(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.u32()?).map_err(|_| "it is cut short")?;
        self.take(length)
    }
}
