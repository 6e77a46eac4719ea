import Synchronization

/// Makes the file of the next segment ahead of use: created, filled with zeros and synced under a temporary name.
///
/// Writing into blocks that are allocated and initialized spares each fdatasync the file system's journal. At most one
/// file is ready or in the making. It fails softly: without a prepared file the writer makes one when it needs it.
final class SegmentPreparer: Sendable {
    struct Prepared: Sendable {
        var path: String
        var file: any LogFile
        /// Bytes of zeros.
        var size: UInt64
    }

    private struct State {
        var isWorking = false
        var ready: Prepared?
        var failure: LogError?
        var isClosed = false
        var sequence = 0
    }

    private let directory: LogDirectory
    private let state = Mutex(State())
    private let worker: WorkerThread?
    /// Written per sync, so that a commit's fdatasync never waits behind more than this.
    private static let stepSize: UInt64 = 1 << 20

    init(_ directory: LogDirectory, inBackground: Bool) throws(LogError) {
        self.directory = directory
        worker = inBackground ? try WorkerThread() : nil
    }

    /// Bytes of the file that is ready; 0 if none is.
    var readySize: UInt64 { state.withLock { $0.ready?.size ?? 0 } }

    /// Why the last file could not be made; nil after one that could.
    var failure: LogError? { state.withLock { $0.failure } }

    /// Asks for a file of `size` bytes; does nothing while one is ready or being made, or without a thread.
    func request(_ size: UInt64) {
        guard let worker else { return }
        let isNew = state.withLock { state in
            if state.isClosed || state.isWorking || state.ready != nil { return false }
            state.isWorking = true
            return true
        }
        if isNew { worker.run { self.prepare(size) } }
    }

    /// Hands the ready file over; nil if there is none.
    func take() -> Prepared? {
        state.withLock { state in
            defer { state.ready = nil }
            return state.ready
        }
    }

    /// Makes a file at once.
    func make(_ size: UInt64) throws(LogError) -> Prepared { try make(size, step: size) }

    /// Waits for the thread and removes the file that was not used.
    func close() {
        state.withLock { $0.isClosed = true }
        worker?.close()
        if let rest = take() { removeQuietly(rest.path) }
    }

    private func prepare(_ size: UInt64) {
        // A failure leaves `ready` empty; a later request tries again, and the writer meets the error itself if it
        // lasts.
        let made: Result<Prepared, LogError>
        do {
            made = .success(try make(size, step: Self.stepSize))
        } catch {
            made = .failure(error)
        }
        state.withLock { state in
            state.isWorking = false
            switch made {
            case .success(let prepared): (state.ready, state.failure) = (prepared, nil)
            case .failure(let error): state.failure = error
            }
        }
    }

    private func make(_ size: UInt64, step: UInt64) throws(LogError) -> Prepared {
        let number = state.withLock { state in
            state.sequence += 1
            return state.sequence
        }
        let path = directory.file("next-\(number)" + LogFormat.temporarySuffix)
        let file = try directory.fileSystem.create(path)
        do {
            var offset: UInt64 = 0
            while offset < size {
                let end = min(size, offset + step)
                try file.zeroFill(offset..<end)
                try file.syncData()
                offset = end
                if state.withLock({ $0.isClosed }) { break }
            }
        } catch {
            removeQuietly(path)
            throw error
        }
        return Prepared(path: path, file: file, size: size)
    }

    /// A temporary file that stays is removed when the log is opened the next time.
    private func removeQuietly(_ path: String) {
        do { try directory.fileSystem.remove(path) } catch { return }
    }
}
