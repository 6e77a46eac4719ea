// What every store checks before it does anything, so that all refuse the same with the same words.

extension ObjectKey {
    /// Refuses a name that no object may have.
    /// - Throws: `.invalidArgument` unless the name has 1 ... 1024 bytes and no control character (below 0x20, or 0x7F).
    public func checkAsName() throws(ObjectStoreError) {
        if rawValue.utf8.isEmpty { throw ObjectStoreError(.invalidArgument, "an object's name must not be empty") }
        try checkAsPrefix()
    }

    /// Refuses a prefix that no object's name may begin with; the empty one is fine.
    /// - Throws: `.invalidArgument` as `checkAsName`.
    public func checkAsPrefix() throws(ObjectStoreError) {
        let count = rawValue.utf8.count
        guard count <= 1024 else {
            throw ObjectStoreError(
                .invalidArgument, "\(rawValue.prefix(40))...: \(count) bytes; a name has at most 1024")
        }
        guard rawValue.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw ObjectStoreError(.invalidArgument, "\(rawValue.debugDescription): control characters are not allowed")
        }
    }
}

extension ObjectInfo {
    /// The part of the object that a get with that range returns: cut at the end of the object.
    /// - Throws: `.invalidArgument` when the range starts behind the end; one that starts at the end is empty.
    public func cut(_ bytes: Range<UInt64>?) throws(ObjectStoreError) -> Range<UInt64> {
        guard let bytes else { return 0..<size }
        guard bytes.lowerBound <= size else {
            throw ObjectStoreError(
                .invalidArgument, "\(key): a read at byte \(bytes.lowerBound), but the object has \(size) bytes")
        }
        return bytes.lowerBound..<min(bytes.upperBound, size)
    }
}

extension ListPage {
    /// Refuses a page size outside the contract.
    /// - Throws: `.invalidArgument` unless the limit is 1 ... 1000.
    public static func check(limit: Int) throws(ObjectStoreError) {
        guard (1...1000).contains(limit) else {
            throw ObjectStoreError(.invalidArgument, "a page of \(limit) names; allowed are 1 ... 1000")
        }
    }
}
