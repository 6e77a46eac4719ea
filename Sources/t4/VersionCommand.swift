import ArgumentParser

/// Which t4 this is.
enum Version {
    /// Major, minor, patch.
    static let text = "0.1.0"

    /// What the binary was built for, `linux/x86_64` for instance.
    static let platform = "\(system)/\(processor)"

    #if os(Linux)
        private static let system = "linux"
    #elseif os(macOS)
        private static let system = "macos"
    #else
        private static let system = "other"
    #endif

    #if arch(x86_64)
        private static let processor = "x86_64"
    #elseif arch(arm64)
        private static let processor = "arm64"
    #else
        private static let processor = "other"
    #endif
}

/// `t4 version`.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version of t4.")

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() {
        // Neither text holds a character that JSON would escape.
        print(
            json
                ? #"{"version":"\#(Version.text)","platform":"\#(Version.platform)"}"#
                : "t4 \(Version.text) (\(Version.platform))")
    }
}
