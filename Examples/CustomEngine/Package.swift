// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "CustomEngine",
    dependencies: [
        // No trait: none of the built-in engines and stores that need a C library.
        .package(name: "t4", path: "../..", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .target(name: "LogFileEngine", dependencies: [.product(name: "T4Protocols", package: "t4")]),
        .executableTarget(
            name: "CustomEngine",
            dependencies: [
                "LogFileEngine", .product(name: "T4Protocols", package: "t4"),
                .product(name: "T4Conformance", package: "t4"), .product(name: "T4Config", package: "t4"),
                .product(name: "T4BuiltIns", package: "t4"), .product(name: "T4Core", package: "t4"),
                .product(name: "Logging", package: "swift-log"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
