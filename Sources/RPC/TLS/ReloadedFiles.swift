import Logging
import Synchronization

/// What is made of files, and made anew once they have changed, so that they may be replaced while the process runs.
///
/// Files that cannot be used leave what was there before: that is told once in the log, and so is their mending.
final class ReloadedFiles<Content: Equatable & Sendable, Made: Sendable>: Sendable {
    private struct State {
        var made: Made
        var content: Content
        /// Why the files are not used as they are now; nil where they are.
        var problem: CredentialFileError?
    }

    private let read: @Sendable () throws(CredentialFileError) -> Content
    private let make: @Sendable (Content) throws(CredentialFileError) -> Made
    private let purpose: String
    private let logger: Logger
    private let metadata: @Sendable (Made) -> Logger.Metadata
    private let state: Mutex<State>

    /// Reads the files; blocks.
    /// - Parameters:
    ///   - purpose: Behind `TLS files` in the log, with a space before it.
    ///   - metadata: Of what is new.
    init(
        purpose: String = "", logger: Logger, read: @escaping @Sendable () throws(CredentialFileError) -> Content,
        make: @escaping @Sendable (Content) throws(CredentialFileError) -> Made,
        metadata: @escaping @Sendable (Made) -> Logger.Metadata
    ) throws(CredentialFileError) {
        self.read = read
        self.make = make
        self.purpose = purpose
        self.logger = logger
        self.metadata = metadata
        let content = try read()
        state = Mutex(State(made: try make(content), content: content))
    }

    /// What was made of the files when they were looked at last.
    var latest: Made { state.withLock { $0.made } }

    /// Looks at the files; blocks.
    func current() -> Made {
        // Read under the lock, so that nobody who has read earlier comes later.
        state.withLock { state in
            do throws(CredentialFileError) {
                let content = try read()
                if content == state.content {
                    if state.problem != nil { logger.notice("the TLS files in use\(purpose) are back") }
                    state.problem = nil
                } else {
                    state = State(made: try make(content), content: content)
                    logger.notice("new TLS files are in use\(purpose)", metadata: metadata(state.made))
                }
            } catch {
                if error != state.problem {
                    logger.error("new TLS files cannot be used\(purpose), the old ones stay in use: \(error)")
                }
                state.problem = error
            }
            return state.made
        }
    }
}
