import Logging
import Synchronization

/// Keeps credentials until shortly before they expire; one refresh at a time serves all who wait.
///
/// A refresh that fails leaves the old ones in use until they have expired.
final class CredentialsCache: Sendable {
    /// Refreshed when less than this is left.
    static let refreshAheadSeconds = 300
    /// After a failed refresh the old ones are used this long without another try.
    static let retrySeconds = 30

    private typealias Answer = Result<Credentials, CredentialsFailure>

    private struct State {
        var held: Credentials?
        var noRefreshBefore = UTCTime(seconds: 0)
        var isRefreshing = false
        var waiters: [CheckedContinuation<Answer, Never>] = []

        /// What is held, if it has not expired.
        func usable(at now: UTCTime) -> Credentials? {
            guard let held, let expiration = held.expiration else { return held }
            return now < expiration ? held : nil
        }

        func isFresh(at now: UTCTime) -> Bool {
            guard let expiration = held?.expiration else { return held != nil }
            return now < noRefreshBefore || expiration.seconds - now.seconds > refreshAheadSeconds
        }
    }

    private enum Step {
        case use(Credentials)
        case refresh
        case wait
    }

    private let source: any CredentialsSource
    private let clock: WallClock
    private let logger: Logger
    private let state = Mutex(State())

    init(_ source: any CredentialsSource, clock: WallClock, logger: Logger) {
        self.source = source
        self.clock = clock
        self.logger = logger
    }

    /// Credentials that have not expired.
    func current() async throws(CredentialsFailure) -> Credentials {
        switch state.withLock({ step(&$0) }) {
        case .use(let credentials): return credentials
        case .refresh: return try await refresh().get()
        case .wait:
            let answer = await withCheckedContinuation { continuation in
                // The refresh may have ended since; then its result is there.
                let known: Answer? = state.withLock { state in
                    if state.isRefreshing {
                        state.waiters.append(continuation)
                        return nil
                    }
                    let failure = CredentialsFailure("the refresh of credentials failed", isTemporary: true)
                    return state.usable(at: clock.now()).map { .success($0) } ?? .failure(failure)
                }
                if let known { continuation.resume(returning: known) }
            }
            return try answer.get()
        }
    }

    /// Forgets credentials that the service called expired, so that the next call gets others.
    func invalidate(_ refused: Credentials) {
        state.withLock { state in
            if state.held == refused { state.held = nil }
        }
    }

    private func step(_ state: inout State) -> Step {
        let now = clock.now()
        if let usable = state.usable(at: now), state.isFresh(at: now) || state.isRefreshing { return .use(usable) }
        if state.isRefreshing { return .wait }
        state.isRefreshing = true
        return .refresh
    }

    private func refresh() async -> Answer {
        var answer: Answer
        do throws(CredentialsFailure) {
            answer = .success(try await source.load())
        } catch {
            answer = .failure(error)
        }
        let (result, waiters) = state.withLock { state in
            state.isRefreshing = false
            switch answer {
            case .success(let credentials): state.held = credentials
            case .failure(let failure):
                let now = clock.now()
                if let usable = state.usable(at: now) {
                    state.noRefreshBefore = UTCTime(seconds: now.seconds + Self.retrySeconds)
                    logger.warning(
                        "credentials could not be refreshed, the old ones stay in use",
                        metadata: ["s3.credentials": "\(usable.origin)", "error": "\(failure)"])
                    answer = .success(usable)
                }
            }
            defer { state.waiters.removeAll() }
            return (answer, state.waiters)
        }
        for waiter in waiters { waiter.resume(returning: result) }
        return result
    }
}
