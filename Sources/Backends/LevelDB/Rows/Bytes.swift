extension UnsafeRawBufferPointer {
    /// The start of these bytes, of which there is at least one, as LevelDB takes it.
    @inline(__always)
    var characters: UnsafePointer<CChar> { baseAddress!.assumingMemoryBound(to: CChar.self) }
}
