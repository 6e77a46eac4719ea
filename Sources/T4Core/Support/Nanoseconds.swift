extension Duration {
    /// Whole nanoseconds, saturating.
    package var nanoseconds: Int64 { Int64(clamping: attoseconds / 1_000_000_000) }
}
