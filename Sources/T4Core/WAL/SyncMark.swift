import T4Protocols

/// Looks for proof that bytes at some offset of a segment had been synced once.
///
/// Parts of one unsynced batch reach the disk in any order, but the first frame of a batch, and the footer, are written
/// only after everything before them was synced. An intact one behind a bad frame hence proves that the bad frame is
/// damage and not a batch that never got to disk (Rule L1).
struct SyncMark {
    /// State the segment's checksums start from.
    var seed: UInt32
    /// The last intact entry.
    var after: LogPosition

    /// The offset of the first mark at or behind `start`; nil if there is none.
    func find(in file: any LogFile, from start: UInt64) throws(LogError) -> UInt64? {
        let size = try file.size()
        guard size > start else { return nil }
        let bytes = try file.read(Int(size - start), at: start)
        var offset = 0
        while offset + LogFormat.frameHeaderSize <= bytes.count {
            // A mark at `o` has the top bit of byte `o + 3` set; zeros are skipped eight at a time.
            if offset + 11 <= bytes.count {
                let tops: UInt64 = bytes.littleEndian(at: offset + 3)
                if tops & 0x8080_8080_8080_8080 == 0 {
                    offset += 8
                    continue
                }
            }
            if isMark(bytes, offset, fileOffset: start + UInt64(offset)) { return start + UInt64(offset) }
            offset += 1
        }
        return nil
    }

    private func isMark(_ bytes: [UInt8], _ offset: Int, fileOffset: UInt64) -> Bool {
        let word: UInt32 = bytes.littleEndian(at: offset)
        guard word & LogFormat.firstOfBatch != 0 else { return false }
        if word == LogFormat.footerMark {
            guard bytes.count - offset >= SegmentFooter.byteCount else { return false }
            let footer = Array(bytes[offset..<offset + SegmentFooter.byteCount])
            return SegmentFooter(footer, offset: fileOffset, seed: seed) != nil
        }
        guard FrameHeader.payloadSize(ofLengthWord: word) != nil, bytes.count - offset >= 24 else { return false }
        // The index first: it is cheap, and keeps copies of older frames inside a body from being taken for marks.
        let index: UInt64 = bytes.littleEndian(at: offset + 16)
        let term: UInt64 = bytes.littleEndian(at: offset + 8)
        guard index > after.index, index - after.index <= fileOffset, term >= after.term else { return false }
        return FrameHeader(bytes, at: offset, seed: seed) != nil
    }
}
