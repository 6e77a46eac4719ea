import Glibc

/// A named operating system thread that runs one function and is joined.
package final class SystemThread: @unchecked Sendable {
    // Sendable: `handle` is written before `init` returns and read once by `join`, behind an atomic exchange by use:
    // each owner joins its thread from one place.
    private final class Body {
        let name: String
        let isBackground: Bool
        let run: @Sendable () -> Void
        init(name: String, isBackground: Bool, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.isBackground = isBackground
            self.run = run
        }
    }

    private var handle = pthread_t()
    private var joined = false

    /// How much lower the priority of work in the background is: about a tenth of the processor when others want it.
    private static let backgroundNiceness: Int32 = 10

    /// Starts the thread. Names are cut to 15 bytes by Linux.
    /// - Parameter isBackground: Gives way to other threads where processors are scarce.
    package init(name: String, isBackground: Bool = false, _ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(name: name, isBackground: isBackground, run: run))
        let code = pthread_create(
            &handle, nil,
            { argument in
                let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
                SystemThread.setName(body.name)
                // On Linux this is about the calling thread alone. Where it fails the thread only is less polite.
                if body.isBackground {
                    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, SystemThread.backgroundNiceness)
                }
                body.run()
                return nil
            }, body.toOpaque())
        precondition(code == 0, "a thread could not be started: error \(code)")
    }

    /// Waits for the function to end. The second call returns at once.
    package func join() {
        guard !joined else { return }
        joined = true
        pthread_join(handle, nil)
    }

    /// Names the calling thread, for debuggers and ps: 15 bytes are kept. glibc's call for it needs a feature macro that Swift does not set; the kernel takes the name from this file.
    package static func setName(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        let bytes = Array(name.utf8.prefix(15))
        _ = write(file, bytes, bytes.count)
        close(file)
    }
}
