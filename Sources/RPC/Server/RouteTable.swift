/// Finds a method by the bytes of its path: an open hash table, so that no string is made per call.
struct RouteTable: Sendable {
    private let slots: [ServerMethod?]
    private let mask: Int
    private let services: Set<String>

    init(_ router: RPCRouter) {
        var capacity = 16
        while capacity < router.methods.count * 4 { capacity *= 2 }
        var slots = [ServerMethod?](repeating: nil, count: capacity)
        for method in router.methods {
            var slot = method.bytes.withUnsafeBytes(Self.hash) & (capacity - 1)
            while slots[slot] != nil { slot = (slot + 1) & (capacity - 1) }
            slots[slot] = method
        }
        self.slots = slots
        mask = capacity - 1
        services = Set(router.methods.map { Self.split($0.path).service })
    }

    /// The method of that path, or nil.
    func method(_ path: UnsafeRawBufferPointer) -> ServerMethod? {
        var slot = Self.hash(path) & mask
        while let method = slots[slot] {
            if method.bytes.count == path.count, method.bytes.withUnsafeBytes({ $0.elementsEqual(path) }) {
                return method
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// What a client is told whose path no method has.
    func unknown(_ path: String) -> RPCStatus {
        guard path.dropFirst(path.hasPrefix("/") ? 1 : 0).contains("/") else {
            return RPCStatus(.unimplemented, "malformed method name: \"\(path)\"")
        }
        let (service, method) = Self.split(path)
        guard services.contains(service) else { return RPCStatus(.unimplemented, "unknown service \(service)") }
        return RPCStatus(.unimplemented, "unknown method \(method) for service \(service)")
    }

    private static func split(_ path: String) -> (service: String, method: String) {
        let name = path.dropFirst(path.hasPrefix("/") ? 1 : 0)
        guard let slash = name.lastIndex(of: "/") else { return (String(name), "") }
        return (String(name[..<slash]), String(name[name.index(after: slash)...]))
    }

    // The table holds our own paths only, so nobody can fill it with collisions.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset + 8 <= bytes.count {
            hash = mix(hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        while offset < bytes.count {
            hash = mix(hash ^ UInt64(bytes[offset]))
            offset += 1
        }
        return Int(truncatingIfNeeded: hash)
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value &* 0xff51_afd7_ed55_8ccd
        return product ^ (product >> 32)
    }
}
