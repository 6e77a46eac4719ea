import ArgumentParser
import Glibc
import T4Config
import T4Core

/// Standard error, for messages; results go to standard output.
enum StandardError {
    /// Writes the text with one call, so that lines of several threads do not mix.
    static func write(_ text: String) {
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let written = bytes[offset...].withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
            if written <= 0 { return }
            offset += written
        }
    }
}

/// Standard output, unbuffered by this process: a reader on a pipe sees each line at once.
enum StandardOutput {
    static func writeLine(_ text: String) {
        print(text)
        fflush(nil)
    }
}

/// Prints an error as `t4: ...`, each problem of a configuration, and what could be restored instead, on a line of its own, and says with which code the
/// command ends: 64 for a wrong configuration, wherever it comes from, as for any other misuse of a command; else 1.
func fail(_ error: any Error) -> ExitCode {
    if let error = error as? RestoreError {
        for line in RestoreTexts.lines(of: error) { StandardError.write("t4: \(line)\n") }
        return .failure
    }
    guard let error = error as? ConfigurationError else {
        StandardError.write("t4: \(error)\n")
        return .failure
    }
    for problem in error.problems { StandardError.write("t4: \(problem)\n") }
    return .validationFailure
}

/// A command's own reason to fail.
struct CommandFailure: Error, CustomStringConvertible {
    var description: String
}
