import T4Protocols

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

    /// What the writer's thread and the preparing one share.
    fileprivate final class Shared: Sendable {
        struct State {
            var wanted: UInt64?
            var isWorking = false
            var ready: Prepared?
            var failure: LogError?
            var isClosed = false
            var fileCount = 0
        }

        let directory: LogDirectory
        let state = Monitor(State())

        init(_ directory: LogDirectory) { self.directory = directory }
    }

    private let shared: Shared
    private let thread: SystemThread?
    /// Written per sync, so that a commit's fdatasync never waits behind more than this.
    private static let stepSize: UInt64 = 1 << 20

    init(_ directory: LogDirectory, inBackground: Bool) {
        let shared = Shared(directory)
        self.shared = shared
        thread = inBackground ? SystemThread(name: "t4-wal-prepare") { shared.work(step: Self.stepSize) } : nil
    }

    /// Bytes of the file that is ready; 0 if none is.
    var readySize: UInt64 { shared.state.withLock { $0.ready?.size ?? 0 } }

    /// Why the last file could not be made; nil after one that could.
    var failure: LogError? { shared.state.withLock { $0.failure } }

    /// Asks for a file of `size` bytes; does nothing while one is ready or being made, or without a thread.
    func request(_ size: UInt64) {
        guard thread != nil else { return }
        shared.state.withLock { state in
            if !state.isWorking && state.ready == nil { state.wanted = size }
        }
        shared.state.signal()
    }

    /// Hands the ready file over; nil if there is none.
    func take() -> Prepared? {
        shared.state.withLock { state in
            defer { state.ready = nil }
            return state.ready
        }
    }

    /// Makes a file at once.
    func make(_ size: UInt64) throws(LogError) -> Prepared { try shared.make(size, step: size) }

    /// Waits for the thread and removes the file that was not used. One thread calls it; a second call does nothing.
    func close() {
        shared.state.withLock { $0.isClosed = true }
        shared.state.signal()
        thread?.join()
        if let rest = take() { shared.removeTemporary(rest.path) }
    }
}

extension SegmentPreparer.Shared {
    /// The thread's loop.
    func work(step: UInt64) {
        while let size = nextRequest() {
            // A later request tries again after a failure, and the writer meets the error itself if it lasts.
            let made: Result<SegmentPreparer.Prepared, LogError>
            do {
                made = .success(try make(size, step: step))
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
    }

    /// The size to make; nil when the preparer was closed.
    private func nextRequest() -> UInt64? {
        state.wait { state -> UInt64?? in
            if state.isClosed { return .some(nil) }
            guard let size = state.wanted else { return nil }
            (state.wanted, state.isWorking) = (nil, true)
            return size
        }
    }

    func make(_ size: UInt64, step: UInt64) throws(LogError) -> SegmentPreparer.Prepared {
        let number = state.withLock { state in
            state.fileCount += 1
            return state.fileCount
        }
        let path = directory.file("next-\(number)" + LogFormat.temporarySuffix)
        let file = try directory.fileSystem.create(path)
        do {
            var offset: UInt64 = 0
            while offset < size && !state.withLock({ $0.isClosed }) {
                let end = min(size, offset + step)
                try file.zeroFill(offset..<end)
                try file.syncData()
                offset = end
            }
            return SegmentPreparer.Prepared(path: path, file: file, size: offset)
        } catch {
            removeTemporary(path)
            throw error
        }
    }

    /// Where that fails the file stays, and is removed when the log is opened the next time.
    func removeTemporary(_ path: String) {
        do { try directory.fileSystem.remove(path) } catch { return }
    }
}
