/// CRC-32C (Castagnoli, reflected, polynomial 0x82F63B78), eight bytes per step.
enum CRC32C {
    /// The state before the first byte.
    static let initial: UInt32 = 0xFFFF_FFFF

    /// Eight tables of 256 values, built once and never freed. Read-only after that, hence safe to share.
    private nonisolated(unsafe) static let tables: UnsafePointer<UInt32> = {
        let tables = UnsafeMutablePointer<UInt32>.allocate(capacity: 8 * 256)
        for byte in 0..<256 {
            var value = UInt32(byte)
            for _ in 0..<8 { value = (value >> 1) ^ (value & 1 == 1 ? 0x82F6_3B78 : 0) }
            tables[byte] = value
        }
        for slice in 1..<8 {
            for byte in 0..<256 {
                let before = tables[(slice - 1) * 256 + byte]
                tables[slice * 256 + byte] = (before >> 8) ^ tables[Int(before & 0xFF)]
            }
        }
        return UnsafePointer(tables)
    }()

    /// The checksum of some bytes.
    static func checksum(_ bytes: RawSpan) -> UInt32 { finish(update(initial, bytes)) }

    /// The checksum that a state stands for.
    static func finish(_ state: UInt32) -> UInt32 { ~state }

    /// Takes more bytes into a state.
    static func update(_ state: UInt32, _ bytes: RawSpan) -> UInt32 {
        bytes.withUnsafeBytes { update(state, $0) }
    }

    private static func update(_ state: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = bytes.baseAddress else { return state }
        let tables = tables
        var crc = state
        var offset = 0
        let count = bytes.count
        while offset &+ 8 <= count {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) ^ UInt64(crc)
            let low = UInt32(truncatingIfNeeded: word)
            let high = UInt32(truncatingIfNeeded: word >> 32)
            let first = tables[7 &* 256 &+ Int(low & 0xFF)] ^ tables[6 &* 256 &+ Int((low >> 8) & 0xFF)]
            let second = tables[5 &* 256 &+ Int((low >> 16) & 0xFF)] ^ tables[4 &* 256 &+ Int(low >> 24)]
            let third = tables[3 &* 256 &+ Int(high & 0xFF)] ^ tables[2 &* 256 &+ Int((high >> 8) & 0xFF)]
            let fourth = tables[256 &+ Int((high >> 16) & 0xFF)] ^ tables[Int(high >> 24)]
            crc = first ^ second ^ third ^ fourth
            offset &+= 8
        }
        while offset < count {
            let byte = base.load(fromByteOffset: offset, as: UInt8.self)
            crc = (crc >> 8) ^ tables[Int((crc ^ UInt32(byte)) & 0xFF)]
            offset &+= 1
        }
        return crc
    }
}
