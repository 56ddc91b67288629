"""The exercises, page by page."""

from minicnn.course.exercise import Exercise
from minicnn.course.pages import backward, basics, convolution, loss, pooling, speed, training

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for module in (basics, convolution, backward, pooling, loss, training, speed)
    for exercise in module.EXERCISES
}
