import Synchronization
package import T4Protocols

/// Keeps what was read last of each object, and reads on ahead where reads follow each other: for tables that are read in
/// blocks, one by one or many in a row.
///
/// Only for parts of objects that never change. Whole objects go through untouched.
package final class ReadAheadStore: ObjectStore {
    /// What is kept of one object.
    private struct Window {
        var start: UInt64
        var stored: StoredBytes
        /// Bytes that the last read of this object asked the store for.
        var step: UInt64
        /// When it was used last.
        var age: UInt64

        var end: UInt64 { start + UInt64(stored.bytes.count) }

        /// The part `range` as far as the object goes; nil unless it is all here.
        func part(_ range: Range<UInt64>) -> StoredBytes? {
            let last = min(range.upperBound, stored.info.size)
            guard start <= range.lowerBound, range.lowerBound < last, last <= end else { return nil }
            let bytes = stored.bytes[Int(range.lowerBound - start)..<Int(last - start)]
            return StoredBytes(bytes: Array(bytes), info: stored.info)
        }
    }

    private struct State {
        var windows: [ObjectKey: Window] = [:]
        var size = 0
        var age: UInt64 = 0
    }

    private let base: any ObjectStore
    private let sizeMax: Int
    private let stepMax: UInt64
    private let state = Mutex(State())

    /// - Parameters:
    ///   - sizeMax: Bytes that are kept at most; the objects used least recently go first.
    ///   - stepMax: Bytes of one read ahead at most.
    package init(_ base: any ObjectStore, sizeMax: Int = 32 << 20, stepMax: UInt64 = 1 << 20) {
        self.base = base
        self.sizeMax = sizeMax
        self.stepMax = stepMax
    }

    package var capabilities: ObjectStoreCapabilities { base.capabilities }

    package func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        guard let range = bytes, !range.isEmpty else { return try await base.get(key, bytes: bytes) }
        let (part, step): (StoredBytes?, UInt64) = state.withLock { state in
            state.age += 1
            guard let window = state.windows[key] else { return (nil, 0) }
            state.windows[key]?.age = state.age
            if let part = window.part(range) { return (part, 0) }
            // A read that goes on where the last one ended is the next of many.
            let goesOn = window.start < range.lowerBound && range.lowerBound <= window.end
            return (nil, goesOn ? min(window.step * 4, stepMax) : 0)
        }
        if let part { return part }
        let wanted = range.upperBound - range.lowerBound
        let count = max(wanted, step)
        let end = range.lowerBound.addingReportingOverflow(count)
        let stored = try await base.get(key, bytes: range.lowerBound..<(end.overflow ? .max : end.partialValue))
        keep(stored, of: key, from: range.lowerBound, step: count)
        return StoredBytes(bytes: Array(stored.bytes.prefix(Int(clamping: wanted))), info: stored.info)
    }

    private func keep(_ stored: StoredBytes, of key: ObjectKey, from start: UInt64, step: UInt64) {
        state.withLock { state in
            state.size += stored.bytes.count - (state.windows[key]?.stored.bytes.count ?? 0)
            state.windows[key] = Window(start: start, stored: stored, step: step, age: state.age)
            while state.size > sizeMax, let oldest = state.windows.min(by: { $0.value.age < $1.value.age }) {
                state.size -= oldest.value.stored.bytes.count
                state.windows[oldest.key] = nil
            }
        }
    }

    package func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try await base.info(key) }

    package func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        forget([key])
        return try await base.put(key, payload, when: condition)
    }

    package func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await base.list(prefix: prefix, after: after, limit: limit)
    }

    package func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        forget(keys)
        try await base.delete(keys)
    }

    package func close() async {
        state.withLock { $0 = State() }
        await base.close()
    }

    private func forget(_ keys: [ObjectKey]) {
        state.withLock { state in
            for key in keys { state.size -= state.windows.removeValue(forKey: key)?.stored.bytes.count ?? 0 }
        }
    }
}
