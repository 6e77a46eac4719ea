import T4Conformance

/// Two texts beside each other, for a reader who looks for the difference.
enum SideBySide {
    private static let width = 76

    /// The first difference between two runs of a script, or nil when they are alike.
    static func firstDifference(
        _ script: Script, etcd: [StepResult], subject: [StepResult], subjectName: String,
    ) -> String? {
        for (wanted, got) in zip(etcd, subject) where wanted != got {
            var text = "\(script.name).script:\(wanted.line): \(wanted.command)\n"
            text += row(" ", "etcd", subjectName)
            for (title, left, right) in [
                ("exit", wanted.status.description, got.status.description), ("stdout", wanted.output, got.output),
                ("stderr", wanted.errors, got.errors),
            ] where left != right {
                text += "-- \(title)\n" + columns(left, right)
            }
            let others = zip(etcd, subject).filter { $0 != $1 }.map { $0.0.line }.dropFirst()
            if !others.isEmpty {
                text += "-- more differences at lines \(others.map(String.init).joined(separator: ", "))\n"
            }
            return text
        }
        guard etcd.count == subject.count else {
            return "\(etcd.count) results of etcd, \(subject.count) of the subject"
        }
        return nil
    }

    /// Both texts line by line; a `|` marks lines that differ.
    static func columns(_ left: String, _ right: String) -> String {
        let leftLines = left.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let rightLines = right.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var text = ""
        for index in 0..<max(leftLines.count, rightLines.count) {
            let (first, second) = (
                index < leftLines.count ? leftLines[index] : nil, index < rightLines.count ? rightLines[index] : nil
            )
            // Lines too long for a column stand below each other.
            if (first ?? "").count > width || (second ?? "").count > width {
                let mark = first == second ? " " : "|"
                text += "\(mark) etcd: \(shortened(first))\n\(mark) got:  \(shortened(second))\n"
            } else {
                text += row(first == second ? " " : "|", first ?? "<no line>", second ?? "<no line>")
            }
        }
        return text
    }

    private static func shortened(_ line: String?) -> String {
        guard let line else { return "<no line>" }
        return line.count > 2000 ? line.prefix(2000) + "... (\(line.count) characters)" : line
    }

    private static func row(_ mark: String, _ left: String, _ right: String) -> String {
        let padding = String(repeating: " ", count: max(0, width - left.count))
        return "\(mark) \(left)\(padding) \(mark) \(right)\n"
    }
}
