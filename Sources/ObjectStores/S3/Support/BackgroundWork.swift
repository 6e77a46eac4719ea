import Dispatch

/// A serial queue for work that blocks or computes long, so that the threads of Swift's tasks stay free.
struct BackgroundWork: Sendable {
    private let queue = DispatchQueue(label: "t4.s3")

    /// Runs `work` after what was handed over before.
    func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: work()) }
        }
    }
}
