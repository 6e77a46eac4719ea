import Dispatch
import Foundation
import Synchronization

/// Runs every body on a thread of its own and waits for all: they run at once whatever the task pool is busy with.
/// - Throws: The first error that one of them threw.
func runThreads(_ bodies: [@Sendable () throws -> Void]) throws {
    let failure = FirstFailure()
    let group = DispatchGroup()
    for body in bodies {
        group.enter()
        Thread.detachNewThread {
            do { try body() } catch { failure.note(error) }
            group.leave()
        }
    }
    group.wait()
    if let error = failure.error { throw error }
}

/// Set once, for good.
package final class Latch: Sendable {
    private let state = Atomic(false)

    package init() {}

    package var isSet: Bool { state.load(ordering: .sequentiallyConsistent) }

    package func set() { state.store(true, ordering: .sequentiallyConsistent) }
}

/// Keeps the first of several errors.
private final class FirstFailure: Sendable {
    private let first = Mutex<(any Error)?>(nil)

    var error: (any Error)? { first.withLock { $0 } }

    func note(_ error: any Error) { first.withLock { $0 = $0 ?? error } }
}
