"""The course's exercises: try one, have it checked, and be told which mistake it makes.

    from minicnn import course

    course.exercises()                            # their names
    course.check("conv_backward", my_function)    # passed, or what is wrong
    course.hint("conv_backward")                  # a hint; hint("conv_backward", 2) is the next
    course.solution("conv_backward")              # a solution

The pages that the exercises belong to are docs/course/README.md and those behind it. A function is
held to the package's own layers and, where it works out gradients, to `minicnn.gradcheck`; a wrong
answer is compared with what the common mistakes give.

    api.py         check, exercises, hint, solution: what they accept
    exercise.py    what an exercise consists of
    pages/         the exercises, page by page: cases, mistakes, hints
    package.py     the right answers, from the package's layers, losses and optimizers
    compare.py     a function is run, compared, and its mistake is found
    result.py      what the reader gets
    solutions.py   the solutions
"""

from minicnn.course.api import check, exercises, hint, solution
from minicnn.course.result import Answer, Difference, Finding

__all__ = ["Answer", "Difference", "Finding", "check", "exercises", "hint", "solution"]
